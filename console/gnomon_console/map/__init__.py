"""The map: who calls what, from the recordings of every call."""

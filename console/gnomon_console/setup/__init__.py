"""What this machine has, what of it is watched, and the one line that adds the rest."""

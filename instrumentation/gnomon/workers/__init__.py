"""Several processes that serve one socket, and one page of metrics for all of them.

Each worker keeps its own registry, as if it were alone, and takes part in a run: a directory in
which it holds a lock for as long as it lives, listens on a Unix socket, and saves a snapshot every
second and before it answers. The worker that is scraped adds up its living peers and the ledger
of the dead. Nothing is shared while requests are served.
"""

"""From a panel and the answers to its queries to what a browser draws: a module for each kind."""

"""Known failures: the expectations file and the cells that it matches. Pure."""

"""Known failures: expectations files and the cells that they match. Pure."""

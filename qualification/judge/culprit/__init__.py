"""Finds the fewest features whose turning off heals the failing flows of a pair. Pure."""

"""Whom the evidence of a cell blames, by comparison with the same pair without offloads. Pure."""

"""SSH connections to hosts."""

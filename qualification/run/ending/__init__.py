"""The end of a run: hosts are put back, and what stays changed is told."""

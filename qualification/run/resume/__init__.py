"""Continuing a run that has ended: what it was asked, and what it has found."""

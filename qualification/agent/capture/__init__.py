"""Captures on a NIC: rings, filters, and the check of every frame."""

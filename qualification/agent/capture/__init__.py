"""Captures on a NIC: rings, filters, and the judgement of every frame."""

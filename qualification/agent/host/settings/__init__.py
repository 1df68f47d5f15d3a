"""Reads how a NIC is set up, for a report to its vendor."""

"""The vendor bundle: what is wrong with a NIC, as a report, captures and a reproducer."""

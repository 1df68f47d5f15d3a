"""The lease on a NIC: one run at a time works on it, and others are told which."""

"""`vxqual selftest`: the suite tried on every firmware of the soft NIC."""

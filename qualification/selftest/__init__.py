"""`vxqual selftest`: the suite tested against every firmware of the soft NIC."""

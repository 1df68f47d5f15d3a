"""What a run has of its hosts: the leases on its NICs, and the session of a pair at a time."""

"""What runs on the hosts: Python 3.9, the standard library and pyroute2 alone."""

"""The checks that must pass before anything on a host is changed."""

"""What a run has of its hosts while it goes on: the session of a pair at a time."""

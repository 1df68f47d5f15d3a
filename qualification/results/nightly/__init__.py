"""What a nightly job says of a run: the run before it, a summary for people, and who is told."""

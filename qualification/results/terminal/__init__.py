"""The report of a run as the terminal shows it."""

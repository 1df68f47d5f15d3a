"""The store of a run, and the reports: each is a view of the same result rows."""

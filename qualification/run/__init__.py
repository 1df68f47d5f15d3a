"""A run under pytest: the controller's part, the workers' part, and what comes before."""

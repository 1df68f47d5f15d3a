"""The tests that users run; each docstring is a test plan with steps and what is verified."""

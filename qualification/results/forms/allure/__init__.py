"""A run in the form of Allure: its result files, what describes the run, and the site."""

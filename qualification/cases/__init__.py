"""The tests users run. Each reads as a test plan: Steps, Verify."""

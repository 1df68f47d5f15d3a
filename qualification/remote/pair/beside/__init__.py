"""What is measured on a pair beside its verdicts: the symptom, and what a mitigation costs."""

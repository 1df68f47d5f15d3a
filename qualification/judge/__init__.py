"""From evidence to verdicts. Pure, so that a stored run can be judged again."""

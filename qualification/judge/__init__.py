"""Evidence -> verdict. Pure: a stored run can be judged again."""

"""The session of one pair: orders for its two agents, and the evidence that comes back."""

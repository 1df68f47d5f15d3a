"""The session of one pair: the orders for its two agents, and the evidence that they return."""

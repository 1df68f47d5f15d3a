"""The messages between controller and agents: the protocol, orders, answers and their decoder."""

"""Traffic: what is sent, and what sockets receive."""

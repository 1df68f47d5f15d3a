"""Traffic: sends bursts, calls and crafted packet sets, and receives them with sockets."""

"""What is run: features and what depends on what, flows, offload sets, cells. Pure."""

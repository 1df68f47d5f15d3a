"""The plan of a run: features and their dependencies, flows, offload sets, cells. Pure."""

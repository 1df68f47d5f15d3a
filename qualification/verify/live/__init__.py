"""`vxqual verify --live`: an interface is captured and judged at the same time."""

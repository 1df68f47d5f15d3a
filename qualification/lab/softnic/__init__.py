"""The soft NIC: a TAP device whose process does what the kernel offloads to it."""

"""The soft NIC: a TAP device whose process does what the kernel offloads to it.

- `tap`: TAP devices. `tx_descriptor`: what the kernel passes with a frame, and back.
- `offload`: checksums and segmentation. `engine`: moves frames, in C (engine.c) or Python.
- `firmwares`: faults. `events`: what a NIC notices of its interface. `counters`: its counters.
- `process`: two NICs and their link as a process. `link`: starts and stops that process.
"""

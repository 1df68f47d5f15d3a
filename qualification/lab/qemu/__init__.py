"""The QEMU lab: virtual machines with Debian's kernel, QEMU's NIC models and their own drivers.

`lab.start` boots one for a run; `image.prepare` makes what the guests boot from. The lab hands back
an ordinary topology of hosts reached over SSH, and nothing outside `lab` can tell.

This module imports nothing, as its parent does.
"""

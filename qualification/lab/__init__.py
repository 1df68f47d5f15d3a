"""Labs inside one machine: hosts that are namespaces, NICs whose hardware is a process.

`loopback.start` builds one for a run, `standing.up` leaves one standing. Both hand back an
ordinary topology of hosts reached over SSH, and nothing outside this package can tell.

This module imports nothing: every soft NIC is a process of its own and should start fast.
"""

"""Labs inside one machine.

`build.start` builds the lab of a topology for a run, whatever its kind; `persistent.up` builds one
that stays up afterwards. Both return an ordinary topology of hosts that are reached over SSH, and
no code outside this package treats it differently from one of real hosts.

- `loopback`: hosts that are network namespaces, with NICs whose hardware is a process (`softnic`).
- `hosts`: one such host. `records`: the labs that exist on this machine, and their removal.

This module imports nothing, because every soft NIC is a process of its own and should start fast.
"""

"""Hosts of which no topology says anything yet: what they have, and what fits together.

Nothing is changed on a host. Modules, bottom up:

- `hosts`: the interfaces of a host, and which of them can be a DUT or a peer.
- `links`: which NICs of two hosts are linked.
- `underlay`: addresses that nobody uses on a link.
"""

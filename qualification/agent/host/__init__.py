"""The host itself: facts, features, links, addresses, tunnels, journal and counters."""

"""The host under test: facts, features, links, addresses, tunnels, journal, counters."""

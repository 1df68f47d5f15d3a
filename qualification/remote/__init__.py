"""Hosts over SSH: connecting, shipping the agent and talking to it, a pair at work."""

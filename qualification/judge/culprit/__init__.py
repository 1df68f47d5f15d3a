"""The smallest culprit: the fewest features whose turning off heals a flow. Pure."""

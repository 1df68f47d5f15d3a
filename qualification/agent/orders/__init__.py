"""The orders that an agent carries out, and the conversation that brings them."""

"""Crafted packets: buffers made byte by byte, with the frames that must come of them."""

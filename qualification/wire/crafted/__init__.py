"""Crafted packets: buffers made byte by byte, with the frames that they must become."""

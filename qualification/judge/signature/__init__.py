"""The signature: what the hardware did, read off the bytes of bad frames. Pure."""

"""The signature: what the hardware did, found in the bytes of bad frames. Pure."""

"""Calls over TCP inside the tunnel, as an application makes and answers them."""

"""Walks through all protocol layers of a captured frame, and judges every checksum on the way."""

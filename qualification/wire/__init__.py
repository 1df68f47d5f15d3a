"""Bytes on the wire: checksums, headers, the reference verifier. Pure, and travels to the hosts."""

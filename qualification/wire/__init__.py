"""Bytes on the wire: checksums, headers, the verifier. Pure; the agent has it on the hosts."""

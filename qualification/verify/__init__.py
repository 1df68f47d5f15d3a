"""`vxqual verify`: judges the checksums of captures that exist already.

It needs no lab and no root. To start fast, it imports neither scapy, pydantic nor pytest.
"""

"""One's complement arithmetic, as the Internet checksum defines it (RFC 1071, RFC 1624).

A sum of 16-bit words with end-around carry is the same number modulo 65535 as the bytes read
as one big integer, for 2**16 is 1 modulo 65535. CPython does that in two C loops, which beats
any loop over words. Sums here are residues, 0 to 65534: 0x0000 and 0xffff, the two zeros of one's
complement, are both 0, and whoever cares which of them is in a field has to look at the field.

A residue of a range can be reused in a bigger range; if it starts there at an odd offset, it counts
times 256 (RFC 1071, section 2, "byte order independence").
"""

from __future__ import annotations

_from_bytes = int.from_bytes


def ones_sum(data: bytes | bytearray | memoryview) -> int:
    """Sum bytes as big-endian 16-bit words; an odd last byte is padded with zero on the right.

    Args:
        data: Any number of bytes. `bytes` is summed fastest: other types are copied first.

    Returns:
        The residue, 0 to 65534.
    """
    total = _from_bytes(data, "big") % 65535
    return (total << 8) % 65535 if len(data) & 1 else total


def pseudo_sum(source: bytes, destination: bytes, protocol: int, length: int) -> int:
    """Sum the pseudo-header of RFC 768, RFC 9293 (IPv4) or RFC 8200 section 8.1 (IPv6).

    Its fields differ in width between the families, yet sum to the same.

    Args:
        source: Address as on the wire, 4 or 16 bytes.
        destination: Address of the same family.
        protocol: IP protocol number of what is summed, 17 for UDP.
        length: Bytes of the L4 header and payload together.

    Returns:
        A sum, not yet reduced: what the kernel leaves in the field as the seed is its fold.
    """
    return _from_bytes(source + destination, "big") % 65535 + protocol + length


def checksum(total: int) -> int:
    """Give the field of TCP, ICMP or an IPv4 header for a sum taken with the field as zero.

    Args:
        total: Sum of everything covered, reduced or not. Must not come from nothing but zero
            bytes, which only ICMP can have; there the field is 0xffff.

    Returns:
        0 to 0xfffe: 0 stands where the formula 65535 - sum gives 0xffff.
    """
    return -total % 65535


def udp_checksum(total: int) -> int:
    """Give the UDP field for a sum taken with the field as zero.

    Args:
        total: Sum of pseudo-header, header and payload, reduced or not.

    Returns:
        1 to 0xffff: a checksum computed as 0 is sent as 0xffff, since 0 means none (RFC 768).
    """
    return 65535 - total % 65535

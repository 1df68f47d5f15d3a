"""One's complement arithmetic, as the Internet checksum defines it (RFC 1071, RFC 1624).

A sum of 16-bit words with end-around carry is the same number modulo 65535 as the bytes read as one
big integer, because 2**16 is 1 modulo 65535. CPython computes that in two C loops, faster than any
loop over words. Sums here are residues, 0 to 65534. The two zeros of one's complement, 0x0000 and
0xffff, are both the residue 0; only the field itself shows which of them it holds.

The sum of a range can be reused in the sum of a larger range. If the range starts there at an odd
offset, its sum counts times 256 (RFC 1071, section 2, "byte order independence").
"""

from __future__ import annotations

_from_bytes = int.from_bytes


def ones_sum(data: bytes | bytearray | memoryview) -> int:
    """Sums bytes as big-endian 16-bit words; an odd last byte is padded with zero on the right.

    Args:
        data: Any number of bytes. `bytes` is summed fastest: other types are copied first.

    Returns:
        The residue, 0 to 65534.
    """
    total = _from_bytes(data, "big") % 65535
    return (total << 8) % 65535 if len(data) & 1 else total


def pseudo_sum(source: bytes, destination: bytes, protocol: int, length: int) -> int:
    """Sums the pseudo-header of RFC 768, RFC 9293 (IPv4) or RFC 8200 section 8.1 (IPv6).

    The width of its fields differs between the families, but their sum does not depend on it.

    Args:
        source: Address as on the wire, 4 or 16 bytes.
        destination: Address of the same family.
        protocol: IP protocol number of L4, such as 17 for UDP.
        length: Bytes of the L4 header and payload together.

    Returns:
        The sum, not yet reduced. With CHECKSUM_PARTIAL the kernel leaves its fold in the field.
    """
    return _from_bytes(source + destination, "big") % 65535 + protocol + length


def checksum(total: int) -> int:
    """Returns the checksum of TCP, ICMP or an IPv4 header, by a sum with the field as zero.

    Args:
        total: Sum of everything covered, reduced or not. Not all bytes covered may be zero; only in
            ICMP they can be, and there the field is 0xffff.

    Returns:
        0 to 0xfffe: 0 where the formula 65535 - sum gives 0xffff.
    """
    return -total % 65535


def udp_checksum(total: int) -> int:
    """Returns the checksum of UDP, by a sum with the field as zero.

    Args:
        total: Sum of pseudo-header, header and payload, reduced or not.

    Returns:
        1 to 0xffff: a checksum computed as 0 is sent as 0xffff, as 0 means no checksum (RFC 768).
    """
    return 65535 - total % 65535

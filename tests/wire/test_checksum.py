import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP, in4_chksum
from scapy.utils import checksum as scapy_checksum

from qualification.wire.checksum import checksum, ones_sum, pseudo_sum, udp_checksum


def sum_by_words(data: bytes) -> int:
    """RFC 1071, section 4.1, word by word."""
    data += b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_example_of_rfc_1071():
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert ones_sum(data) == 0xDDF2
    assert checksum(ones_sum(data)) == 0x220D


@given(st.binary(max_size=200))
def test_sum_is_that_of_the_words_modulo_65535(data):
    assert ones_sum(data) == sum_by_words(data) % 65535
    assert ones_sum(bytearray(data)) == ones_sum(memoryview(data)) == ones_sum(data)


@given(st.binary(min_size=1, max_size=200).filter(any))
def test_checksum_agrees_with_scapy(data):
    assert checksum(ones_sum(data)) == scapy_checksum(data)


@given(st.binary(max_size=99), st.binary(max_size=99))
def test_range_at_an_odd_offset_counts_times_256(head, tail):
    shifted = ones_sum(tail) << 8 if len(head) % 2 else ones_sum(tail)
    assert (ones_sum(head) + shifted) % 65535 == ones_sum(head + tail)


@given(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4), st.binary(max_size=50))
def test_pseudo_header_agrees_with_scapy(source, destination, data):
    header = IP(src=".".join(map(str, source)), dst=".".join(map(str, destination)))
    datagram = bytes(UDP(chksum=0, len=8 + len(data))) + data
    total = pseudo_sum(source, destination, 17, len(datagram)) + ones_sum(datagram)
    assert checksum(total) == in4_chksum(17, header, datagram) % 65535


def test_pseudo_header_of_ipv6():
    source, destination = bytes(15) + b"\1", bytes(15) + b"\2"
    words = source + destination + (20).to_bytes(4, "big") + bytes(3) + b"\x06"
    assert pseudo_sum(source, destination, 6, 20) % 65535 == ones_sum(words)


@pytest.mark.parametrize("total", [0, 65535, 131070])
def test_the_two_zeros(total):
    assert checksum(total) == 0
    assert udp_checksum(total) == 0xFFFF


@pytest.mark.parametrize("total", [1, 0x8000, 65534, 65536])
def test_field_and_sum_add_up_to_nothing(total):
    assert (total + checksum(total)) % 65535 == 0
    assert udp_checksum(total) == checksum(total)

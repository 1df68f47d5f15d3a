"""Firmwares by themselves: their effect on frames, and the checks of what users ask for."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.errors import UsageError
from qualification.lab.softnic import firmwares
from qualification.lab.softnic.tx_descriptor import GSO_NONE, GSO_TCP4, TxDescriptor

L4, CHECK = 34, 40


def descriptor(*, gso: int = GSO_TCP4, tunnel_csum: bool = True) -> TxDescriptor:
    return TxDescriptor(
        frame=bytes(60),
        needs_csum=True,
        csum_start=L4 + 50,
        csum_offset=16,
        gso=gso,
        gso_size=1000,
        ecn=False,
        tunnel=gso != GSO_NONE,
        tunnel_csum=tunnel_csum,
        l3=14,
        l4=L4,
        inner_l3=64,
    )


def frames(count: int, check: int = 0x1234) -> list[bytearray]:
    frame = bytearray(60)
    struct.pack_into("!H", frame, CHECK, check)
    return [bytearray(frame) for _ in range(count)]


def hits(firmware: firmwares.Firmware, work: TxDescriptor, nic: str = "alpha.port0") -> list[int]:
    """Returns which of 20,000 frames a firmware changes."""
    transmit = firmware.load(nic).transmit
    assert transmit
    sent = transmit(work, frames(20_000))
    return [index for index, frame in enumerate(sent) if frame != frames(1)[0]]


def test_random_p_hits_its_share() -> None:
    count = len(hits(firmwares.check("random-p", {"p": 0.05}), descriptor()))
    assert 1000 - 5 * 31 < count < 1000 + 5 * 31  # five standard deviations


def test_random_p_spares_what_did_not_ask_for_outer_checksums() -> None:
    always = firmwares.check("random-p", {"p": 1})
    assert len(hits(always, descriptor())) == 20_000
    assert not hits(always, descriptor(tunnel_csum=False))
    assert not hits(always, descriptor(gso=GSO_NONE))


def test_randomness_is_the_nics_own_and_repeats() -> None:
    chosen = firmwares.check("random-p", {})
    assert hits(chosen, descriptor()) == hits(chosen, descriptor())
    assert hits(chosen, descriptor(), "bravo.port0") != hits(chosen, descriptor())
    seeded = firmwares.check("random-p", {"seed": 7})
    assert hits(seeded, descriptor(), "bravo.port0") == hits(seeded, descriptor())


@given(st.integers(1, 0xFFFF), st.integers())
def test_a_garbled_checksum_is_wrong_in_every_interpretation(right: int, seed: int) -> None:
    (frame,) = frames(1, right)
    firmwares.garble(frame, CHECK, random.Random(seed))
    (wrong,) = struct.unpack_from("!H", frame, CHECK)
    assert wrong != 0
    assert wrong % 65535 != right % 65535
    struct.pack_into("!H", frame, CHECK, right)
    assert frame == frames(1, right)[0]


def test_description_is_a_version_people_can_compare() -> None:
    assert firmwares.describe("good", {}) == "good"
    assert firmwares.describe("random-p", {}) == "random-p p=0.03"
    assert firmwares.describe("random-p", {"p": 1, "seed": 4}) == "random-p p=1.0"


@pytest.mark.parametrize(
    ("model", "knobs", "text"),
    [
        ("random-q", {}, "there is no firmware 'random-q'\n  next: did you mean 'random-p'?"),
        ("random-p", {"q": 1}, "random-p has no knob 'q'\n  next: known: p, seed"),
        ("random-p", {"p": 1.5}, "random-p's p is a share, from 0 to 1, not 1.5"),
        ("random-p", {"p": float("nan")}, "random-p's p is a share, from 0 to 1, not nan"),
        ("random-p", {"p": "much"}, "random-p's p must be of type float, not 'much'"),
        ("random-p", {"p": True}, "random-p's p must be of type float, not True"),
        ("good", {"seed": "x"}, "seed must be a whole number, not 'x'"),
    ],
)
def test_mistakes_are_named(model: str, knobs: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        firmwares.check(model, knobs, where="lab.firmwares.alpha.port0")
    assert text in str(caught.value)
    assert str(caught.value).startswith("lab.firmwares.alpha.port0: ")

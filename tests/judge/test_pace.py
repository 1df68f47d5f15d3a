"""The pace that a path carries, on models of paths."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qualification.judge.pace import (
    FASTEST,
    SLOWEST,
    PaceFound,
    PaceTry,
    first_pace,
    next_pace,
    pace_found,
)

FRAMES = 4_096
Lost = Callable[[int], int]


def search(lost: Lost, first: int = FASTEST) -> PaceFound:
    """Searches on a path that loses so many frames at a pace."""
    tries: tuple[PaceTry, ...] = ()
    pace: int | None = first
    while pace is not None:
        tries = (*tries, PaceTry(pace, FRAMES, lost(pace)))
        pace = next_pace(tries)
    return pace_found(tries)


def queue(carried: int, holds: int) -> Lost:
    """A NIC that takes so many frames a second, with a queue."""
    return lambda pace: max(0, int(FRAMES * (1 - carried / pace)) - holds)


def test_a_fast_path_takes_one_burst() -> None:
    found = search(lambda _pace: 0)
    assert (found.pace, found.lossless, found.lowered, len(found.tries)) == (
        FASTEST, True, False, 1,
    )  # fmt: skip
    assert str(found) == "100,000 frames/s"


@pytest.mark.parametrize("carried", [50_000, 20_000, 2_000, 200])
@pytest.mark.parametrize("holds", [0, 64, 500])
def test_the_pace_is_one_that_the_slowest_part_of_a_path_carries(carried: int, holds: int) -> None:
    found = search(queue(carried, holds))
    assert found.lossless and found.lowered
    assert carried / 4 < found.pace <= carried
    assert "frames lost at" in found.reason


@pytest.mark.parametrize("share", [0.5, 0.05, 0.01, 0.001])
def test_losses_that_no_pace_lessens_have_other_causes(share: float) -> None:
    found = search(lambda _pace: int(FRAMES * share))
    assert (found.lossless, found.lowered, found.pace) == (False, False, FASTEST)
    assert len(found.tries) == (4 if share < 0.5 else 10)


def test_a_path_that_takes_nothing_is_not_tried_at_every_pace() -> None:
    assert len(search(lambda _pace: FRAMES).tries) == 1


def test_there_is_a_slowest_pace() -> None:
    found = search(queue(10, 0))
    assert not found.lossless
    assert SLOWEST <= found.tries[-1].pace < 2 * SLOWEST


def test_a_slow_link_begins_at_its_speed() -> None:
    assert first_pace((10_000, 25_000), 1500) == FASTEST
    assert first_pace((None, -1), 1500) == FASTEST
    assert first_pace((100, 10_000), 1500) == 8_127  # IEEE 802.3: 1,538 bytes a frame
    assert first_pace((1,), 9000) == SLOWEST

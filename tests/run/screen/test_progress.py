"""How far a run is: when a line is due, and what it says."""

from __future__ import annotations

from qualification.run.screen.progress import RunProgress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(total: int, seconds: float) -> list[tuple[int, str]]:
    """The lines of a run whose cells take this long each, with the number of cells before each."""
    clock = Clock()
    progress = RunProgress(clock)
    progress.begin(total)
    progress.begin(total)  # each worker says so
    found = []
    for done in range(1, total + 1):
        clock.now += seconds
        line = progress.ran("x710", f"x710/all-on/outer4-csum/inner4/tcp{done}")
        if line is not None:
            found.append((done, line))
    return found


def test_a_line_has_pair_cell_percentage_and_the_time_left() -> None:
    done, line = run(1000, 0.1)[0]
    assert done == 100
    assert line == (
        "10 % of 1,000 cells, pair x710, cell all-on/outer4-csum/inner4/tcp100, about 90 s left"
    )


def test_a_slow_run_says_something_every_ten_seconds() -> None:
    assert [done for done, _ in run(1000, 1.0)][:3] == [10, 20, 30]
    assert run(1000, 1.0)[0][1].endswith("tcp10, the time left is not known yet")
    assert run(1000, 1.0)[4][1].endswith("tcp50, about 16 min left")


def test_a_fast_run_is_not_buried_in_lines() -> None:
    assert len(run(1000, 0.01)) == 9
    assert run(100, 0.001) == []


def test_the_last_cell_needs_no_line() -> None:
    assert [done for done, _ in run(3, 20.0)] == [1, 2]

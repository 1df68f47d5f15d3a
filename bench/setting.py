"""The settings that all measurements of a run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .frames import Sort, write_capture
from .mixed import NAME, write_mixed


@dataclass(frozen=True)
class Setting:
    """The settings of a run.

    Attributes:
        rounds: The number of rounds that count.
        quick: Use small inputs, to check that everything works; the figures are meaningless.
        scratch: Directory for temporary files.
        inputs: Directory for capture files that serve as input.
        say: Prints a progress message.
    """

    rounds: int
    quick: bool
    scratch: Path
    inputs: Path
    say: Callable[[str], object]

    def capture(self, sort: Sort, count: int) -> Path:
        """Returns a capture file of `count` frames, which is made if it does not exist."""
        path = self.inputs / f"{sort.name.replace(' ', '-')}-{count}.pcap"
        if not path.exists():
            self.inputs.mkdir(parents=True, exist_ok=True)
            self.say(f"making {count:,} frames: {sort.name}")
            write_capture(path, sort, count)
        return path

    def mixed(self, count: int, wrong: float = 0.0) -> Path:
        """Returns a mixed capture file, of whose frames a share is wrong; see `capture`."""
        path = self.inputs / f"{NAME}-{wrong:g}-{count}.pcap"
        if not path.exists():
            self.inputs.mkdir(parents=True, exist_ok=True)
            self.say(f"making {count:,} frames: {NAME}")
            write_mixed(path, count, wrong)
        return path

    def in_turn(
        self,
        works: Mapping[str, Callable[[], float]],
        *,
        warm_up: bool = True,
        rounds: int | None = None,
    ) -> dict[str, tuple[float, ...]]:
        """Measures in turn: A, B, A, B and so on.

        Args:
            works: Functions that measure once, by name.
            warm_up: Whether to run all of them once before, without counting.
            rounds: The number of rounds, if it differs from the setting's.

        Returns:
            The figures of the rounds, by name.
        """
        found: dict[str, list[float]] = {name: [] for name in works}
        last = self.rounds if rounds is None else rounds
        for number in range(0 if warm_up else 1, last + 1):
            which = f"round {number} of {last}" if number else "warming up"
            for name, work in works.items():
                self.say(f"{name}: {which}")
                figure = work()
                if number:
                    found[name].append(figure)
        return {name: tuple(values) for name, values in found.items()}

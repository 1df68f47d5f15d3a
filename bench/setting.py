"""What all measurements of one run of the bench share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .frames import Sort, write_capture


@dataclass(frozen=True)
class Setting:
    """How things are measured.

    Attributes:
        rounds: How often each counts.
        quick: Small inputs: to see that all of it works, not to learn anything.
        scratch: For what is written meanwhile.
        inputs: For capture files to measure with.
        say: Tells whoever waits what is going on.
    """

    rounds: int
    quick: bool
    scratch: Path
    inputs: Path
    say: Callable[[str], object]

    def capture(self, sort: Sort, count: int) -> Path:
        """A capture file of so many frames; made if it is not there yet."""
        path = self.inputs / f"{sort.name.replace(' ', '-')}-{count}.pcap"
        if not path.exists():
            self.inputs.mkdir(parents=True, exist_ok=True)
            self.say(f"making {count:,} frames: {sort.name}")
            write_capture(path, sort, count)
        return path

    def in_turn(
        self,
        works: Mapping[str, Callable[[], float]],
        *,
        warm_up: bool = True,
        rounds: int | None = None,
    ) -> dict[str, tuple[float, ...]]:
        """Measures works side by side: A, B, A, B and so on.

        Args:
            works: What measures each once, by name.
            warm_up: Do all of them once before, which does not count.
            rounds: How often, if not as often as all else.

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

"""`vxqual selftest`: runs the suite against every firmware of the soft NIC and checks the results.

The expected detection of each fault is defined here, as the table of FAULTS.md has it in words; the
result comes from a run that does not know the firmware. A fault that no case detects is reported as
missed.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import zip_longest
from multiprocessing import active_children, get_context
from queue import Empty, Queue
from signal import SIGTERM

from qualification.errors import UsageError
from qualification.judge.pace import FASTEST
from qualification.judge.verdict import Demand, Verdict
from qualification.lab.softnic import firmwares
from qualification.plan.features import CSUM, TNL, TNL_CSUM, TSO, TSO6, USO

from .trial import Trial, TrialResult, judge

DEMAND = Demand(0.01, 0.999)
"""What the cells of a trial exclude: every fault shows always, or more often than this."""

_CHECKSUM = frozenset({CSUM})
_SEGMENTATION = frozenset({TNL, TNL_CSUM, TSO, TSO6, USO})
_FAIL, _LOSS, _UNTRUSTED = Verdict.FAIL, Verdict.LOSS, Verdict.UNTRUSTED


@dataclass(frozen=True)
class ExpectedDetection:
    """How the suite must detect a fault.

    Attributes:
        verdict: The verdict that at least one cell must have.
        signatures: One of these signatures must be named; empty for LOSS, which leaves no bytes.
        culprits: One of these features must be the culprit; empty if no feature heals the fault.
        port: The UDP port of the tunnel with which the fault shows.
    """

    verdict: Verdict
    signatures: frozenset[str] = frozenset()
    culprits: frozenset[str] = frozenset()
    port: int = 4789


def _detection(
    verdict: Verdict, names: str = "", culprits: frozenset[str] = frozenset(), port: int = 4789
) -> ExpectedDetection:
    return ExpectedDetection(verdict, frozenset(names.split()), culprits, port)


EXPECTED_DETECTIONS: Mapping[str, ExpectedDetection] = {
    "after-reset": _detection(_FAIL, "seed-left"),  # flows in a state are not searched
    "duplicated": _detection(_FAIL, "duplicated duplicate", _CHECKSUM),
    "ip-header": _detection(_FAIL, "ip-header", _SEGMENTATION),
    "last-exact": _detection(_FAIL, "last-exact segment-length", _SEGMENTATION),
    "odd-byte": _detection(_FAIL, "odd-byte", _CHECKSUM),
    "offset-clipped": _detection(_FAIL, "offset-clipped", _CHECKSUM),
    "outer-dscp": _detection(_FAIL, "outer-header", _CHECKSUM),
    "outer-port": _detection(_FAIL, "outer-header", _CHECKSUM),
    "outer-garbage": _detection(_FAIL, "constant noise", _SEGMENTATION | _CHECKSUM),
    "pad-summed": _detection(_FAIL, "pad-summed wrong-range", _CHECKSUM),
    "path-corrupt": _detection(_UNTRUSTED),
    "path-drop": _detection(Verdict.ERROR, port=8472),  # the probe of the port finds it
    "plain-4789": _detection(_FAIL, "seed-left", _CHECKSUM),
    "port-stolen": _detection(_FAIL, "seed-left"),
    "port-unknown": _detection(_FAIL, "seed-left", _CHECKSUM | _SEGMENTATION, port=8472),
    "queue-k": _detection(_FAIL, "seed-left", _CHECKSUM | _SEGMENTATION),
    "random-p": _detection(_FAIL, "noise", frozenset({TNL_CSUM})),
    "rx-blind": _detection(_FAIL, "rx-blind"),
    "rx-level": _detection(_FAIL, "rx-level"),
    "rx-strict": _detection(_FAIL, "rx-strict"),
    "seed-left": _detection(_FAIL, "seed-left", _CHECKSUM),
    "silent-drop": _detection(_LOSS, culprits=_CHECKSUM),
    "small-mss": _detection(_LOSS, culprits=_SEGMENTATION),
    "super-length": _detection(_FAIL, "super-length segment-length", _SEGMENTATION),
    "unasked-outer": _detection(_FAIL, "unasked-outer", _CHECKSUM | _SEGMENTATION),
    "v6-only": _detection(_FAIL, "seed-left", _CHECKSUM | _SEGMENTATION),
    "vlan-lost-short": _detection(_FAIL, "vlan-lost"),
    "vlan-shift": _detection(_FAIL, "vlan-shift", _CHECKSUM),
    "zero-not-ffff": _detection(_FAIL, "zero-not-ffff", _CHECKSUM),
    "zero-updated": _detection(_UNTRUSTED, "zero-updated"),
}
"""The expected detections by the name of the firmware."""


_WAITS = "lossy"
"""The good firmware whose every burst ends with a wait for lost frames. Faulty ones wait, too."""

_SEEDS_A_LAB = 10
"""Seeds tried in turn in one lab: building it and its controls cost as much as its cells."""
_SEEDS_A_WAITING_LAB = 4
"""Fewer for the firmware that waits, so that it is not the last one running."""


@dataclass(frozen=True)
class FirmwareResult:
    """The result of one firmware with one seed.

    Attributes:
        model: The name of the firmware.
        expected: The expected detection; None for a good firmware, which must not FAIL.
        result: The result of its trial.
    """

    model: str
    expected: ExpectedDetection | None
    result: TrialResult

    @property
    def missing(self) -> str:
        """The difference from the expected detection, in a few words; empty if there is none."""
        result, expected = self.result, self.expected
        if result.error:
            foreseen = expected is not None and expected.verdict is Verdict.ERROR
            return "" if foreseen else f"the lab failed: {result.error}"
        if expected is None:
            if str(_UNTRUSTED) in result.verdicts:  # then no cell was judged that could fail
                return f"a good firmware is not judged: {result.reason}"
            wrong = [name for name in (_FAIL, _LOSS) if str(name) in result.verdicts]
            return f"a good firmware has {' and '.join(wrong)}: {result.reason}" if wrong else ""
        if str(expected.verdict) not in result.verdicts:
            return f"no {expected.verdict}"
        if expected.signatures and not expected.signatures & result.signatures.keys():
            return f"signature is none of {', '.join(sorted(expected.signatures))}"
        blamed = {name for culprit in result.culprits for name in culprit}
        if expected.culprits and not expected.culprits & blamed:
            return "culprit not found"
        return ""


def selftest(
    wanted: Sequence[str],
    seeds: int,
    jobs: int,
    seed: int,
    pace: int = FASTEST,
    cells: int | None = None,
) -> Iterator[FirmwareResult]:
    """Tests the suite against firmwares, several at a time; yields each result as it is complete.

    Args:
        wanted: Names of firmwares; all if empty.
        seeds: How many seeds each good firmware is tried with; faulty ones are tried with one.
        jobs: How many labs run at a time.
        seed: The first seed.
        pace: Frames per second at which the search for the path's pace begins.
        cells: How many cells each seed of a good firmware is tried with, drawn at random by it;
            None for all. Faulty ones are tried with all, as few of them may show the fault.

    Raises:
        UsageError: There is no such firmware.
    """
    models = {model.name: model for model in firmwares.models()}
    for name in wanted:
        if name not in models:
            raise UsageError(
                f"there is no firmware {name!r}", hint=f"known: {', '.join(sorted(models))}"
            )
    trials = []
    for name, model in models.items():
        if wanted and name not in wanted:
            continue
        expected = EXPECTED_DETECTIONS.get(name)
        port = expected.port if expected else 4789
        end = seed + (seeds if model.kind == "good" else 1)
        at_once = _SEEDS_A_WAITING_LAB if name == _WAITS else _SEEDS_A_LAB
        for first in range(seed, end, at_once):
            some = tuple(range(first, min(first + at_once, end)))
            drawn = None if expected else cells
            trials.append((Trial(name, {}, port, some, pace, drawn), expected))
    # Trials that mostly wait alternate with trials that do not, so that all CPUs are busy.
    # Those that wait longest come first, so that CPUs are not idle at the end.
    lossy = [one for one in trials if one[0].model == _WAITS]
    faulty = [one for one in trials if one[1] is not None]
    busy = [one for one in trials if one[1] is None and one[0].model != _WAITS]
    trials = [one for both in zip_longest(lossy + faulty, busy) for one in both if one]
    with ExitStack() as undo:
        # SIGTERM acts as Ctrl-C does: labs are taken down before the process ends.
        undo.callback(signal.signal, SIGTERM, signal.signal(SIGTERM, signal.default_int_handler))
        context = get_context("spawn")
        results: Queue[tuple[int, TrialResult]] = undo.enter_context(context.Manager()).Queue()
        pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_worker)
        undo.enter_context(pool)
        running = [
            pool.submit(_judge, number, trial, results) for number, (trial, _) in enumerate(trials)
        ]
        try:
            while not all(trial.done() for trial in running) or not results.empty():
                with suppress(Empty):
                    number, result = results.get(timeout=1)
                    trial, expected = trials[number]
                    yield FirmwareResult(trial.model, expected, result)
            for ended in running:
                ended.result()  # raises the error of a worker that died
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in active_children():
                child.terminate()
            raise


def _worker() -> None:
    """Has a worker process end by SIGTERM from its parent only, after it has taken its lab down."""

    def end(*_: object) -> None:
        signal.signal(SIGTERM, signal.SIG_IGN)
        sys.exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(SIGTERM, end)


def _judge(number: int, trial: Trial, results: Queue[tuple[int, TrialResult]]) -> None:
    if (
        signal.getsignal(SIGTERM) is signal.SIG_IGN
    ):  # a trial that was queued when the process was to end
        sys.exit(1)
    for result in judge(trial, DEMAND):
        results.put((number, result))

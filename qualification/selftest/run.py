"""`vxqual selftest`: the suite against every firmware of the soft NIC, and what it makes of each.

What is to be seen of a fault stands here, as FAULTS.md's table has it in words; what is seen comes
from a run that knows nothing of it. A fault that no case triggers yet is missed, and said to be.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from multiprocessing import active_children, get_context
from signal import SIGTERM

from qualification.errors import UsageError
from qualification.judge.verdict import Demand, Verdict
from qualification.lab.softnic import firmwares
from qualification.plan.features import CSUM, TNL, TNL_CSUM, TSO, TSO6, USO

from .trial import Trial, TrialResult, judge

DEMAND = Demand(0.01, 0.999)
"""Of the cells of a trial: faults are there always, or more often than this."""

_WHOLE = frozenset({CSUM})
_CUT = frozenset({TNL, TNL_CSUM, TSO, TSO6, USO})
_FAIL, _LOSS, _UNTRUSTED = Verdict.FAIL, Verdict.LOSS, Verdict.UNTRUSTED


@dataclass(frozen=True)
class ExpectedDetection:
    """What is to be seen of a fault.

    Attributes:
        verdict: That of some cell.
        signatures: One of these names is to be given; none of a LOSS, which leaves no bytes.
        culprits: One of these features is to be blamed; none where no feature heals.
        port: The tunnel's UDP port that shows it.
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
    "after-reset": _detection(_FAIL, "seed-left"),  # a state is not undone, so nothing is searched
    "ip-header": _detection(_FAIL, "ip-header", _CUT),
    "last-exact": _detection(_FAIL, "last-exact segment-length", _CUT),
    "odd-byte": _detection(_FAIL, "odd-byte", _WHOLE),
    "offset-clipped": _detection(_FAIL, "offset-clipped", _WHOLE),
    "outer-garbage": _detection(_FAIL, "constant noise", _CUT | _WHOLE),
    "pad-summed": _detection(_FAIL, "pad-summed wrong-range", _WHOLE),
    "path-drop": _detection(_UNTRUSTED, port=8472),
    "plain-4789": _detection(_FAIL, "seed-left", _WHOLE),
    "port-stolen": _detection(_FAIL, "seed-left"),
    "port-unknown": _detection(_FAIL, "seed-left", _WHOLE | _CUT, port=8472),
    "queue-k": _detection(_FAIL, "seed-left", _WHOLE | _CUT),
    "random-p": _detection(_FAIL, "noise", frozenset({TNL_CSUM})),
    "rx-blind": _detection(_FAIL, "rx-blind"),
    "rx-level": _detection(_FAIL, "rx-level"),
    "rx-strict": _detection(_FAIL, "rx-strict"),
    "seed-left": _detection(_FAIL, "seed-left", _WHOLE),
    "silent-drop": _detection(_LOSS, culprits=_WHOLE),
    "small-mss": _detection(_LOSS, culprits=_CUT),
    "super-length": _detection(_FAIL, "super-length segment-length", _CUT),
    "unasked-outer": _detection(_FAIL, "unasked-outer", _WHOLE | _CUT),
    "v6-only": _detection(_FAIL, "seed-left", _WHOLE | _CUT),
    "vlan-lost-short": _detection(_FAIL, "vlan-lost"),
    "vlan-shift": _detection(_FAIL, "vlan-shift", _WHOLE),
    "zero-not-ffff": _detection(_FAIL, "zero-not-ffff", _WHOLE),
    "zero-updated": _detection(_UNTRUSTED, "zero-updated"),
}
"""By the name of the firmware."""


_WAITS = "lossy"
"""The good firmware whose every burst ends with a wait for what is lost. Faulty ones wait, too."""

_SEEDS_A_LAB = 10
"""Tried one after another in it: building it, and its controls, cost as much as its cells."""
_SEEDS_A_WAITING_LAB = 4
"""Of the one that waits, so that not all others wait for it in the end."""


@dataclass(frozen=True)
class FirmwareResult:
    """What became of one firmware with one seed.

    Attributes:
        model: Its name.
        due: What was to be seen; None of a good one, of which no FAIL is.
        seen: What was.
    """

    model: str
    expected: ExpectedDetection | None
    seen: TrialResult

    @property
    def missing(self) -> str:
        """What was not as it had to be, in a few words; empty if all was."""
        seen, expected = self.seen, self.expected
        if seen.error:
            return f"the lab failed: {seen.error}"
        if expected is None:
            if str(_UNTRUSTED) in seen.verdicts:  # then nothing was judged that could have failed
                return f"a good firmware is not judged: {seen.reason}"
            return "a good firmware fails" if str(_FAIL) in seen.verdicts else ""
        if str(expected.verdict) not in seen.verdicts:
            return f"no {expected.verdict}"
        if expected.signatures and not expected.signatures & seen.signatures.keys():
            return f"signature is none of {', '.join(sorted(expected.signatures))}"
        blamed = {name for culprit in seen.culprits for name in culprit}
        if expected.culprits and not expected.culprits & blamed:
            return "culprit not found"
        return ""


def selftest(wanted: Sequence[str], seeds: int, jobs: int, seed: int) -> Iterator[FirmwareResult]:
    """Tries firmwares, several at a time, and tells of each as it is done.

    Args:
        wanted: Their names; none for all.
        seeds: How often each good one is tried, with another seed each time.
        jobs: How many at a time.
        seed: The first one.

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
            trials.append((Trial(name, {}, port, some), expected))
    # What waits most of the time runs beside what does not, from the beginning: both CPUs are busy.
    # What waits longest is the first of it, for it would have them idle in the end.
    lossy = [one for one in trials if one[0].model == _WAITS]
    faulty = [one for one in trials if one[1] is not None]
    busy = [one for one in trials if one[1] is None and one[0].model != _WAITS]
    trials = [one for both in zip_longest(lossy + faulty, busy) for one in both if one]
    with ExitStack() as undo:
        # As for Ctrl-C: labs are taken down before this ends.
        undo.callback(signal.signal, SIGTERM, signal.signal(SIGTERM, signal.default_int_handler))
        pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_worker)
        undo.enter_context(pool)
        running = {
            pool.submit(_judge, trial): (trial.model, expected) for trial, expected in trials
        }
        try:
            for future in as_completed(running):
                for seen in future.result():
                    yield FirmwareResult(*running[future], seen)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in active_children():
                child.terminate()
            raise


def _worker() -> None:
    """Ends when told to by the one that started it, and by nobody else, with its lab taken down."""

    def end(*_: object) -> None:
        signal.signal(SIGTERM, signal.SIG_IGN)
        sys.exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(SIGTERM, end)


def _judge(trial: Trial) -> tuple[TrialResult, ...]:
    if signal.getsignal(SIGTERM) is signal.SIG_IGN:  # what was in the queue when it was to end
        sys.exit(1)
    return tuple(judge(trial, DEMAND))

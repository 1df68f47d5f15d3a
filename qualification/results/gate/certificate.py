"""The certificate: what the gate says of a run, with everything that it rests on, as JSON.

`python -m qualification.results.gate.certificate` prints its JSON schema. Each text in it is made
harmless to show, because names and versions come from hosts, and files of a run may be anybody's.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from qualification import __version__
from qualification.errors import UsageError
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.printable import inert
from qualification.results.conclusion import RunOutcome
from qualification.results.matrix import Matrix, NicRow, RunRow
from qualification.results.run_files import EVIDENCE, MATRIX, RUN
from qualification.results.terminal.explanations import faults

from .answer import Answer
from .decision import Decision, GateOutcome, NicDecision
from .nic_rules import RequiredMitigation
from .policy import Policy

SCHEMA: Literal[1] = 1
_FILES = (EVIDENCE, RUN, MATRIX)


@dataclass(frozen=True)
class HashedFile:
    """A file of the run.

    Attributes:
        name: Its name in the directory of the run.
        octets: Its size.
        sha256: The SHA-256 of its content, in hexadecimal.
    """

    name: str
    octets: int
    sha256: str


@dataclass(frozen=True)
class Fault:
    """A fault that the run shows on a NIC.

    Attributes:
        verdict: FAIL or LOSS.
        cells: How many cells show it.
        first: Id of the most telling one.
        reason: Why that one failed: rate with its interval, and the field that is wrong.
        signature: What the hardware did, as the bytes show; null where it is not known.
        culprit: The features whose turning off heals it; null where they are not known.
    """

    verdict: Verdict
    cells: int
    first: str
    reason: str
    signature: str | None
    culprit: list[str] | None


@dataclass(frozen=True)
class CertifiedNic:
    """One NIC of the certificate.

    Attributes:
        pair: Its pair in the topology.
        outcome: Whether it may enter production, one of `GateOutcome`.
        run_outcome: How the run ended for it, before any policy.
        dut: The NIC.
        peer: The NIC that watched it.
        verdicts: How many cells ended in each verdict.
        faults: What it did wrong.
        mitigation: The features that have to be off, how to turn them off, and what that costs;
            null where none is needed, or none will do.
        rules: The answer to each rule about it.
    """

    pair: str
    outcome: GateOutcome
    run_outcome: RunOutcome
    dut: NicRow
    peer: NicRow
    verdicts: dict[Verdict, int]
    faults: tuple[Fault, ...]
    mitigation: RequiredMitigation | None
    rules: tuple[Answer, ...]


@dataclass(frozen=True)
class Certificate:
    """What the gate says of a run.

    Attributes:
        schema: Number of this schema, `SCHEMA`.
        outcome: The outcome of the worst NIC.
        decided: When (ISO 8601, with zone).
        version: Version of the vxqual that decided; that of the run is in `run`.
        policy: What was demanded.
        run: The run.
        files: The files of the run, as they were then; one that is not there is left out.
        rules: The answer to each rule about the run.
        nics: The NICs.
    """

    schema: Literal[1]
    outcome: GateOutcome
    decided: str
    version: str
    policy: Policy
    run: RunRow
    files: tuple[HashedFile, ...]
    rules: tuple[Answer, ...]
    nics: tuple[CertifiedNic, ...]


_ADAPTER = TypeAdapter(Certificate)


def certify(decided: Decision, matrix: Matrix, directory: Path) -> Certificate:
    """Returns the certificate of a run.

    Args:
        decided: What the gate says.
        matrix: The results that it rests on.
        directory: The directory of the run.

    Raises:
        UsageError: A file of the run cannot be read.
    """
    return Certificate(
        SCHEMA,
        decided.outcome,
        decided.decided.isoformat(timespec="seconds"),
        __version__,
        decided.policy,
        matrix.run,
        tuple(_hashed(directory / name) for name in _FILES if (directory / name).exists()),
        decided.answers,
        tuple(
            _nic(one, [c for c in matrix.cells if c.pair == one.nic.pair]) for one in decided.nics
        ),
    )


def document(certificate: Certificate) -> dict[str, Any]:
    """Returns a certificate as JSON types, each text harmless to show."""
    dumped: dict[str, Any] = inert(_ADAPTER.dump_python(certificate, mode="json"))
    return dumped


def _nic(one: NicDecision, cells: Sequence[CellRow]) -> CertifiedNic:
    count = Counter(cell.verdict for cell in cells)
    found = [
        Fault(
            same[0].verdict,
            len(same),
            same[0].id,
            same[0].reason,
            same[0].signature,
            same[0].culprit,
        )
        for same in faults(cells)
    ]
    return CertifiedNic(
        one.nic.pair,
        one.outcome,
        one.run_outcome,
        one.nic,
        one.peer,
        {verdict: count[verdict] for verdict in Verdict if count[verdict]},
        tuple(found),
        one.remedy,
        one.answers,
    )


def _hashed(path: Path) -> HashedFile:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return HashedFile(path.name, file.tell(), digest)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from None


def schema() -> dict[str, Any]:
    """Returns the JSON schema of a certificate."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_ADAPTER.json_schema(mode="serialization"),
        "title": "vxqual certificate",
    }


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))

"""Writes a page about the NIC models of a QEMU lab, from the results of a run.

    python -m qualification.results.models_page OUT > docs/qemu-models.md

Of each model it says what driver and offloads it was qualified with, and what came out. A failure
is shown with what the recording of the wire holds (`--vx-wire-check`), and with what tshark says of
the first wrong frames of that recording: a second opinion on frames that no host has touched.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from qualification.errors import VxqualError
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.judge.wire_check import recorded
from qualification.messages.bursts import BadFrame
from qualification.printable import code, markdown

from . import directories, matrix, run_directory
from .matrix import Matrix, NicRow
from .pcapng import pcapng
from .run_directory import StoredRun
from .run_files import MATRIX

_FIELDS = ("ip.checksum.status", "udp.checksum.status", "tcp.checksum.status")
_STATUS = {"0": "bad", "1": "good", "2": "unverified", "3": "not present"}
_MOST_CELLS = 3


def page(out: Path) -> Iterator[str]:
    """Yields the lines of the page.

    Args:
        out: The directory of a run, or a directory of runs, of which the latest one is meant.

    Raises:
        UsageError: It has no results.
    """
    out = directories.find(out)
    made = matrix.read(out / MATRIX)
    run = run_directory.read(out)
    duts = [nic for nic in made.nics if nic.role == "dut"]
    yield "# NIC models of QEMU"
    yield ""
    yield "This page is made by `python -m qualification.results.models_page` from the results of a"
    yield f"run of vxqual {made.run.version} with {made.run.topology}, seed {made.run.seed}, and is"
    yield "not edited. [qemu-lab.md](qemu-lab.md) describes the lab. What it says of a model holds"
    yield "for that model and driver, not for the hardware that the model imitates."
    yield ""
    yield "| model | driver | kernel | guest of | " + " | ".join(_COUNTED) + " |"
    yield "|" + "---|" * (4 + len(_COUNTED))
    for nic in duts:
        counts = Counter(cell.verdict for cell in _cells(made, nic))
        machine = f"{nic.hypervisor}, {nic.hardware_version}".strip(", ")
        row = (nic.firmware, nic.driver, nic.kernel, machine, *(counts[v] for v in _COUNTED))
        yield "| " + " | ".join(markdown(str(each)) for each in row) + " |"
    for nic in duts:
        yield ""
        yield from _model(made, nic, run)


_COUNTED = tuple(Verdict)


def _model(made: Matrix, nic: NicRow, run: StoredRun) -> Iterator[str]:
    cells = _cells(made, nic)
    yield f"## {markdown(nic.firmware)}, driver {markdown(nic.driver)}"
    yield ""
    campaign = run.campaign
    varied = campaign.space(nic.pair).switchable | campaign.receive_space(nic.pair).switchable
    yield f"Offloads that were varied: {_names(varied)}."
    for name, lost in sorted(campaign.ends(nic.pair).dut.dependencies.items()):
        if lost and name in varied:
            yield f"Off with {code(name)} go {_names(lost)}."
    wires = [cell for cell in cells if cell.wire]
    wrong = sum(" 0 wrong" not in cell.wire for cell in wires)
    contradicted = sum("recording of the wire contradicts" in cell.reason for cell in cells)
    yield (
        f"The wire was recorded in {len(wires)} cells, and had wrong frames in {wrong};"
        f" {contradicted} verdicts were contradicted by it."
    )
    failing = [cell for cell in cells if cell.verdict in (Verdict.FAIL, Verdict.LOSS)]
    groups: dict[tuple[str, ...], list[CellRow]] = {}
    for cell in failing:
        signature = (cell.signature or cell.reason).partition("; explains")[0]
        culprit = ", ".join(cell.culprit) if cell.culprit else "not found"
        word = _tshark(_samples(run, cell), cell.flow.port)
        groups.setdefault((cell.verdict, signature, culprit, word), []).append(cell)
    if groups:
        yield ""
        yield "| verdict | cells | signature | culprit | tshark, on the wire | such as |"
        yield "|---|---|---|---|---|---|"
    for (verdict, signature, culprit, word), some in groups.items():
        names = "<br>".join(
            f"{code(cell.id)}: {markdown(cell.wire)}" for cell in some[:_MOST_CELLS]
        )
        said = " | ".join(map(markdown, (signature, culprit, word)))
        yield f"| {verdict} | {len(some)} | {said} | {names} |"
    others = Counter(
        (cell.verdict, _without_numbers(cell.reason))
        for cell in cells
        if cell.verdict in (Verdict.INCONCLUSIVE, Verdict.UNTRUSTED, Verdict.ERROR)
    )
    if others:
        yield ""
    for (verdict, reason), count in others.most_common():
        yield f"- {verdict}, {count} cells: {markdown(reason)}"
    heal = made.mitigation.get(nic.pair)
    if heal:
        yield ""
        yield f"With {', '.join(map(code, heal))} off, its flows are clean."


def _cells(made: Matrix, nic: NicRow) -> list[CellRow]:
    return [cell for cell in made.cells if cell.pair == nic.pair]


def _without_numbers(reason: str) -> str:
    return "".join("N" if c.isdigit() else c for c in reason).replace("N,N", "N")


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(code, sorted(names))) or "none"


def _samples(run: StoredRun, cell: CellRow) -> tuple[str, ...]:
    """Returns the first wrong frames of a cell's recording, base64."""
    entry = run.entries.get(cell.id)
    wire = recorded(entry.evidence) if entry else None
    return wire.samples if wire else ()


def _tshark(samples: tuple[str, ...], port: int) -> str:
    """Returns what tshark says of the checksums of frames; they have the same layers wrong."""
    if not samples:
        return "no recording of a wrong frame"
    layers = ("ip", "udp", "tcp")
    checks = [word for each in layers for word in ("-o", f"{each}.check_checksum:TRUE")]
    fields = [word for name in _FIELDS for word in ("-e", name)]
    tunnel = ("-d", f"udp.port=={port},vxlan")
    command = ["tshark", "-r", "-", *tunnel, *checks, "-T", "fields", *fields]
    content = pcapng([BadFrame(each, (), ()) for each in samples])
    try:
        done = subprocess.run(command, input=content, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "tshark is not there"
    said = Counter(map(_in_words, done.stdout.decode().splitlines()))
    return "; ".join(f"{words} ({count})" for words, count in said.most_common())


def _in_words(line: str) -> str:
    parts = []
    for name, statuses in zip(_FIELDS, line.split("\t"), strict=False):
        if statuses:
            words = ", ".join(_STATUS.get(status, status) for status in statuses.split(","))
            parts.append(f"{name.partition('.')[0]} {words}")
    return "; ".join(parts) or "nothing"


def main() -> int:
    """Prints the page of the directory that is named."""
    try:
        for line in page(Path(sys.argv[1])):
            print(line)
    except VxqualError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A stored run as OCP Test & Validation output: a line of JSON for each artifact.

The form is version 2.0 of the specification (opencomputeproject/ocp-diag-core, json_spec), written
by the project's own library, an extra. A run is a test run, an offload set of a pair a test step,
and a cell some measurements and a diagnosis in it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from itertools import groupby
from types import MappingProxyType

import ocptv.output as tv

from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.results.conclusion import RunOutcome
from qualification.results.matrix import Matrix, NicRow
from qualification.results.terminal.overview import outcome

from .mitigation import mitigation

_TYPES: Mapping[Verdict, tv.DiagnosisType] = MappingProxyType(
    {
        Verdict.PASS: tv.DiagnosisType.PASS,
        Verdict.FAIL: tv.DiagnosisType.FAIL,
        Verdict.LOSS: tv.DiagnosisType.FAIL,
    }
)
"""What a verdict is as a diagnosis; all others are UNKNOWN, KNOWN among them: a run may qualify a
NIC in spite of it, and a FAIL would contradict that."""
_LAB = frozenset({Verdict.ERROR, Verdict.UNTRUSTED})
_IDLE = frozenset({Verdict.NOT_EXERCISED, Verdict.UNSUPPORTED})
_RESULTS: Mapping[RunOutcome, tv.TestResult] = MappingProxyType(
    {
        RunOutcome.QUALIFIED: tv.TestResult.PASS,
        RunOutcome.NOT_QUALIFIED: tv.TestResult.FAIL,
    }
)
_STATUS: Mapping[RunOutcome, tv.TestStatus] = MappingProxyType(
    {
        RunOutcome.INTERRUPTED: tv.TestStatus.ERROR,
        RunOutcome.NOT_JUDGED: tv.TestStatus.ERROR,
        RunOutcome.NO_CELL: tv.TestStatus.SKIP,
    }
)


class _Lines:
    """A writer of the library that keeps the lines.

    Their time is that of the run in place of now: its start, and for all that follows its end.
    """

    def __init__(self, started: str, finished: str) -> None:
        self._started, self._finished = started, finished
        self.lines: list[str] = []

    def write(self, buffer: str) -> None:
        """Takes a line of the library."""
        artifact = json.loads(buffer)
        begins = len(self.lines) < 2  # the version of the schema, and the start of the run
        artifact["timestamp"] = self._started if begins else self._finished
        self.lines.append(json.dumps(artifact, ensure_ascii=False))


def document(matrix: Matrix) -> bytes:
    """Returns a run as OCP Test & Validation output, JSON lines."""
    about = matrix.run
    writer = _Lines(about.started, about.finished or about.started)
    tv.config(writer=writer)
    run = tv.TestRun(
        name="vxqual",
        version=about.version,
        command_line=f"vxqual run {about.topology}",
        parameters={
            "run": about.id,
            "plan": about.plan,
            "seed": about.seed,
            "rate": str(about.demand.rate),
            "confidence": str(about.demand.confidence),
        },
    )
    duts = [nic for nic in matrix.nics if nic.role == "dut"]
    dut, hardware = _dut(matrix, duts)
    run.start(dut=dut)
    for nic in duts:
        cells = [cell for cell in matrix.cells if cell.pair == nic.pair]
        cells.sort(key=lambda cell: cell.set_id)
        for set_id, of in groupby(cells, key=lambda cell: cell.set_id):
            step = run.add_step(f"{nic.pair}/{set_id}")
            _step(step, list(of), about.demand.rate, hardware[nic.pair])
        _conclude(run.add_step(f"{nic.pair}/outcome"), matrix, nic, hardware[nic.pair])
    run.end(
        status=_STATUS.get(about.outcome, tv.TestStatus.COMPLETE),
        result=_RESULTS.get(about.outcome, tv.TestResult.NOT_APPLICABLE),
    )
    return "".join(f"{line}\n" for line in writer.lines).encode()


def _dut(matrix: Matrix, duts: Collection[NicRow]) -> tuple[tv.Dut, dict[str, tv.dut.HardwareInfo]]:
    """Returns the DUTs of a run as one, which is all that the form knows, and its NICs by pair."""
    hosts = dict.fromkeys(nic.host for nic in duts)
    dut = tv.Dut(id=",".join(hosts) or matrix.run.id, name=matrix.run.topology)
    for machine in dict.fromkeys(nic.machine for nic in duts if nic.machine):
        dut.add_platform_info(machine)
    hardware = {}
    for nic in duts:
        on = {"computer_system": nic.host}
        system, firmware = tv.SoftwareType.SYSTEM, tv.SoftwareType.FIRMWARE
        dut.add_software_info("kernel", system, nic.kernel, **on)
        dut.add_software_info(nic.driver, system, nic.driver_version, **on)
        dut.add_software_info(f"{nic.interface} firmware", firmware, nic.firmware, **on)
        hardware[nic.pair] = dut.add_hardware_info(
            f"{nic.driver} {nic.interface}",
            location=nic.bus,
            serial_no=nic.serial,
            part_no=nic.pci_id,
            **on,
        )
    return dut, hardware


def _step(
    step: tv.TestStep, cells: Collection[CellRow], rate: float, nic: tv.dut.HardwareInfo
) -> None:
    """Writes the cells of an offload set."""
    step.start()
    for cell in cells:
        if cell.rate is not None:
            _measure(step, cell, rate, nic)
        name = str(cell.verdict).lower().replace(" ", "-")
        if cell.verdict in _LAB:
            step.add_error(
                symptom=f"vxqual-{name}",
                message=f"{cell.flow.id}: {cell.reason}",
                source_location=None,
            )
        found = [cell.reason, cell.signature or ""]
        if cell.culprit:
            found.append(f"culprit {', '.join(cell.culprit)}")
        step.add_diagnosis(
            _TYPES.get(cell.verdict, tv.DiagnosisType.UNKNOWN),
            verdict=f"vxqual-{name}",
            message=f"{cell.flow.id}: {'; '.join(filter(None, found))}",
            hardware_info=nic,
            source_location=None,
        )
    verdicts = {cell.verdict for cell in cells}
    if verdicts & _LAB:
        step.end(status=tv.TestStatus.ERROR)
    else:
        step.end(status=tv.TestStatus.SKIP if verdicts <= _IDLE else tv.TestStatus.COMPLETE)


def _measure(step: tv.TestStep, cell: CellRow, rate: float, nic: tv.dut.HardwareInfo) -> None:
    """Writes what was counted in a cell, with what a PASS demands of it."""
    none = tv.Validator(name="none", type=tv.ValidatorType.EQUAL, value=0)
    least = tv.Validator(
        name="excluded", type=tv.ValidatorType.LESS_THAN_OR_EQUAL, value=float(rate)
    )
    for name, value, unit, validators in (
        ("frames", cell.frames, "frames", []),
        ("wrong", cell.wrong, "frames", [none]),
        ("lost", cell.lost, "frames", []),
        ("corruption rate", float(cell.rate or 0), "wrong frames per frame", []),
        ("corruption rate, upper bound", float(cell.rate_high), "wrong frames per frame", [least]),
    ):
        step.add_measurement(
            name=f"{cell.flow.id}: {name}",
            value=value,
            unit=unit,
            validators=validators or None,
            hardware_info=nic,
        )


def _conclude(
    step: tv.TestStep, matrix: Matrix, nic: NicRow, hardware: tv.dut.HardwareInfo
) -> None:
    """Writes how a DUT ended, and what mitigates its fault."""
    step.start()
    ended = outcome(matrix, nic.pair)
    told = [f"{nic.driver}, firmware {nic.firmware}: {ended}", mitigation(matrix, nic)]
    types = {
        RunOutcome.QUALIFIED: tv.DiagnosisType.PASS,
        RunOutcome.NOT_QUALIFIED: tv.DiagnosisType.FAIL,
    }
    step.add_diagnosis(
        types.get(ended, tv.DiagnosisType.UNKNOWN),
        verdict=f"vxqual-{ended.lower().replace(' ', '-')}",
        message="; ".join(filter(None, told)),
        hardware_info=hardware,
        source_location=None,
    )
    step.end(status=tv.TestStatus.COMPLETE)

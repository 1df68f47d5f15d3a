"""What the tests of a NIC share: labels to browse by, parameters, and how things are attached."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from qualification.judge.evidence import Evidence
from qualification.printable import printable
from qualification.results.bundle.captures import captures
from qualification.results.bundle.files import file_name
from qualification.results.bundle.masking import Mask
from qualification.results.matrix import NicRow

from .model import AllureFile

_EVIDENCE = TypeAdapter(Evidence)
_UNMASKED = Mask({}, on=False)
_PCAPNG = "application/x-pcapng"


def model_of(nic: NicRow) -> str:
    """Returns the model of a NIC: "i40e 8086:1572", or its driver where the PCI id is unknown."""
    return printable(" ".join(filter(None, (nic.driver, nic.pci_id))))


def labels(nic: NicRow, offload_set: str, kind: str, verdict: str) -> dict[str, str]:
    """Returns the labels of a test.

    Args:
        nic: The DUT.
        offload_set: The offload set, or what takes its place in the tree of suites.
        kind: What kind of test it is: "cell", "control", "culprit", "symptom" or "outcome".
        verdict: How it ended; empty for a test that gives no verdict.
    """
    firmware = printable(nic.firmware)
    found = {
        "parentSuite": model_of(nic),
        "suite": f"firmware {firmware}, {printable(nic.pair)}",
        "subSuite": printable(offload_set),
        "epic": printable(nic.driver),
        "feature": printable(offload_set),
        "driver": printable(nic.driver),
        "firmware": firmware,
        "nic": model_of(nic),
        "pair": printable(nic.pair),
        "offload_set": printable(offload_set),
        "kernel": printable(nic.kernel),
        "host": printable(nic.host),
        "framework": "vxqual",
        "kind": kind,
    }
    return found | ({"verdict": verdict, "tag": verdict} if verdict else {})


def identity(nic: NicRow, **others: str) -> dict[str, str]:
    """Returns the parameters that tell a test: of a NIC of this model in this pair."""
    given = {"NIC": model_of(nic), "pair": nic.pair, **others}
    return {name.replace("_", " "): printable(value) for name, value in given.items()}


def about(nic: NicRow) -> dict[str, str]:
    """Returns the parameters that may change from run to run while the test is the same."""
    return {"firmware": printable(nic.firmware), "kernel": printable(nic.kernel)}


def json_file(name: str, document: Any) -> AllureFile:
    """Returns JSON types as an attachment; `name` is without its suffix."""
    content = json.dumps(document, indent=1).encode()
    return AllureFile(f"{file_name(name)}.json", "application/json", content)


def evidence_files(name: str, evidence: Evidence) -> list[AllureFile]:
    """Returns evidence as attachments: JSON, and captures of wrong frames as a bundle has them.

    Args:
        name: What it is the evidence of, such as the id of a cell.
        evidence: The evidence.
    """
    found = [json_file(f"{name}.evidence", _EVIDENCE.dump_python(evidence, mode="json"))]
    bad = [frame for burst in evidence.bursts for frame in burst.received.captured.samples]
    bad += [frame for burst in evidence.received for frame in burst.samples]
    _, files = captures(name, bad, 0, _UNMASKED)
    return found + [AllureFile(file, _PCAPNG, content) for file, content in files.items()]


def text_file(name: str, text: str) -> AllureFile:
    """Returns a text as an attachment; `name` is without its suffix."""
    content = f"{printable(text, lines=True)}\n".encode()
    return AllureFile(f"{file_name(name)}.txt", "text/plain", content)

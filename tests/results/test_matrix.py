"""matrix.json: its form, its schema, and what `read` refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from qualification.errors import UsageError
from qualification.judge.verdict import Verdict
from qualification.plan.features import TNL, USO
from qualification.results import matrix

from .conftest import ALL_OFF, ALL_ON, TCP, TCP6, UDP, Make, built, made, symptom

SCHEMA = Path(__file__, "../../../reports/matrix.schema.json").resolve()


@pytest.fixture
def written(tmp_path: Path, campaign: Make) -> Path:
    """A file of two pairs, with every verdict in it."""
    path = tmp_path / "matrix.json"
    cells = [made(ALL_ON, TCP, verdict, pair="e810", frames=7) for verdict in Verdict]
    cells += [
        made(ALL_ON, TCP6, Verdict.FAIL, "wrong", frames=1000, bad=30),
        made(ALL_OFF, UDP, Verdict.UNSUPPORTED, "lacks it", unsupported=(USO,)),
    ]
    both = campaign(x710=("i40e", "8.30"), e810=("ice", "4.40"))
    matrix.write(built(both, cells, [symptom("e810")], {"e810": [TNL]}), path)
    return path


@pytest.fixture
def document(written: Path) -> Any:
    return json.loads(written.read_text())


@pytest.fixture
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_is_in_step() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "qualification.results.matrix"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    again = "python -m qualification.results.matrix > reports/matrix.schema.json"
    assert SCHEMA.read_text() == printed, again


def test_what_is_written_is_valid(document: Any, validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ("run", "seed"),
        ("nics", "firmware"),
        ("cells", "verdict"),
        ("cells", "rate_high"),
        ("symptoms", "tunnel"),
    ],
)
def test_the_schema_requires_every_key(document: Any, validator: Any, where: str, key: str) -> None:
    part = document[where]
    del (part[0] if isinstance(part, list) else part)[key]
    assert any(
        f"'{key}' is a required" in error.message for error in validator.iter_errors(document)
    )


def test_the_schema_knows_the_verdicts(document: Any, validator: Any) -> None:
    document["cells"][0]["verdict"] = "FINE"
    assert not validator.is_valid(document)


def test_the_form(document: Any) -> None:
    assert list(document) == ["schema", "run", "nics", "cells", "symptoms", "mitigation", "costs"]
    assert document["mitigation"] == {"e810": [TNL]}
    assert document["schema"] == 4
    assert document["run"] == {
        "id": "20260102-030405-6",
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:14:05+00:00",
        "seed": 7,
        "version": "0.1.0",
        "commit": "2056cb712345-dirty",
        "python": "3.11.7",
        "kernel": "6.1.0-28",
        "topology": "lab.yaml",
        "plan": "quick",
        "selection": {"keyword": "", "marks": "", "partial_ok": False},
        "demand": {"rate": 0.001, "confidence": 0.999},
        "completeness": {
            "planned": 11,
            "selected": 11,
            "run": 11,
            "essential": 1,
            "exercised": 1,
            "idle": [],
        },
        "outcome": "QUALIFIED",
        "resumed": [],
    }
    assert [(nic["pair"], nic["role"]) for nic in document["nics"]] == [
        ("x710", "dut"),
        ("x710", "peer"),
        ("e810", "dut"),
        ("e810", "peer"),
    ]
    assert document["nics"][2] == {
        "pair": "e810",
        "role": "dut",
        "host": "e810-dut",
        "interface": "p0",
        "driver": "ice",
        "driver_version": None,
        "firmware": "4.40",
        "bus": "0000:3b:00.0",
        "kernel": "6.1.0-28",
        "mtu": 1500,
        "verifier": "",
        "hypervisor": "",
        "machine": "",
        "hardware_version": "",
        "pace": None,
        "pace_reason": "",
        "pci_id": "8086:1572",
        "serial": None,
        "pci_subsystem": None,
    }
    assert {cell["verdict"] for cell in document["cells"]} == {
        "PASS", "FAIL", "LOSS", "INCONCLUSIVE",
        "NOT EXERCISED", "UNSUPPORTED", "UNTRUSTED", "ERROR", "KNOWN",
    }  # fmt: skip
    failed = document["cells"][-2]
    bounds = failed.pop("rate_low"), failed.pop("rate_high")
    assert 0.01 < bounds[0] < 0.03 < bounds[1] < 0.06
    assert failed == {
        "id": "x710/all-on/outer4-csum/inner6/tcp",
        "pair": "x710",
        "requested": {
            "tx-udp_tnl-csum-segmentation": True,
            TNL: True,
            "tx-tcp-segmentation": True,
            "tx-checksum-ip-generic": True,
        },
        "effective": {},
        "flow": {
            "id": "outer4-csum/inner6/tcp",
            "outer": 4,
            "outer_checksum": True,
            "inner": 6,
            "l4": "tcp",
            "segmentation": True,
            "port": 4789,
            "packet_set": "",
            "tunnel": True,
            "state": "",
            "direction": "send",
            "vlan": "",
            "load": "",
        },
        "verdict": "FAIL",
        "frames": 1000,
        "bad": 30,
        "lost": 0,
        "rate": 0.03,
        "signature": None,
        "culprit": None,
        "reason": "wrong",
        "expectation": None,
        "wire": "",
        "wrong": 30,
        "note": "",
    }


def test_a_feature_that_is_lacking_was_asked_for(document: Any) -> None:
    lacking = document["cells"][-1]
    assert lacking["id"] == "x710/uso/outer4-csum/inner4/udp"
    assert lacking["requested"][USO] is True
    assert lacking["rate"] is None


def test_what_was_written_is_read_back_the_same(written: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    matrix.write(matrix.read(written), again)
    assert again.read_bytes() == written.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.json", "matrix.json"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe\x00", "bytes that are not UTF-8"),
        (b"[]", "should be an object"),
        (b"{}", "schema: Field required"),
        (b'{"schema": 4, "run": 3, "nics": [], "cells": []}', "run: "),
    ],
)
def test_junk_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "junk.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=what) as caught:
        matrix.read(path)
    assert str(caught.value).startswith(f"{path}: is not the matrix of a run: ")
    assert "\n" not in str(caught.value)


def test_a_file_from_before_mitigations_is_read(
    document: Any, validator: Any, tmp_path: Path
) -> None:
    del document["mitigation"]
    assert validator.is_valid(document)
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document))
    assert matrix.read(path).mitigation == {}


@pytest.mark.parametrize("schema", [3, 5])
def test_another_schema_is_refused(written: Path, schema: int) -> None:
    document = json.loads(written.read_text()) | {"schema": schema}
    written.write_text(json.dumps(document))
    what = rf"was written by vxqual 0\.1\.0 with schema {schema}, and this vxqual .* reads schema 4"
    with pytest.raises(UsageError, match=what) as caught:
        matrix.read(written)
    assert caught.value.where == str(written)


def test_an_unknown_verdict_is_refused_at_its_place(written: Path) -> None:
    document = json.loads(written.read_text())
    document["cells"][1]["verdict"] = "FINE"
    written.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"cells\.1\.verdict: "):
        matrix.read(written)


@pytest.mark.parametrize("name", ["nothing.json", "."])
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be read: "):
        matrix.read(tmp_path / name)


def test_symptoms_are_read_again_and_need_not_be_there(written: Path, document: Any) -> None:
    assert matrix.read(written).symptoms == (symptom("e810"),)
    del document["symptoms"]  # as in a run that made no calls
    written.write_text(json.dumps(document))
    assert matrix.read(written).symptoms == ()

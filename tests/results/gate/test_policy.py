"""The policy file: its example, its schema, and problems with their place."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from qualification.config.reading import load_as, parse_as
from qualification.errors import UsageError
from qualification.results.gate.policy import POLICY, schema

REPORTS = Path(__file__, "../../../../reports").resolve()
FILE = """\
version: 1
name: nodes
run:
  plan: full
  rate: 1e-4
  age_days: 7
nic:
  features: [tx-tcp-segmentation]
  refused:
    - driver: i40e
      firmware: "<9.20"
known:
  until: 2027-01-31
mitigation:
  allowed: true
  throughput_loss: 20
"""


def test_the_example_is_one_and_the_schema_is_in_step() -> None:
    path = REPORTS / "policy.example.yaml"
    example = load_as(POLICY, path)
    assert example.mitigation.allowed
    command = "qualification.results.gate.policy"
    printed = subprocess.run(
        [sys.executable, "-m", command], capture_output=True, text=True, check=True
    ).stdout
    written = REPORTS / "policy.schema.json"
    assert written.read_text() == printed, f"python -m {command} > reports/policy.schema.json"
    jsonschema.Draft202012Validator.check_schema(schema())
    for text in (path.read_text(), FILE):
        document = json.loads(json.dumps(YAML(typ="safe").load(text), default=str))
        jsonschema.validate(document, schema())


def test_what_the_example_leaves_out_is_right_too() -> None:
    text = (REPORTS / "policy.example.yaml").read_text()
    for commented, written in (
        ("# known:       ", "known:         "),
        ("#   until:", "    until:"),
        ("  # allowed:", "  allowed:"),
        ("  #   - {driver", "    - {driver"),
        ("      # kernel:", "      kernel:"),
    ):
        assert commented in text
        text = text.replace(commented, written)
    policy = parse_as(POLICY, text, "policy.yaml")
    assert policy.known is not None
    assert policy.known.until == date(2027, 1, 31)
    assert policy.nic.allowed[0].driver == "mlx5*"
    assert policy.nic.refused[0].kernel == "<6.1"


def test_a_short_policy_is_a_strict_one() -> None:
    policy = parse_as(POLICY, "version: 1\nname: nodes\n", "policy.yaml")
    assert (policy.run.plan, policy.run.complete) == ("standard", True)
    assert (policy.run.rate, policy.run.confidence) == (1e-3, 0.999)
    assert policy.nic.verdicts == ("PASS", "NOT EXERCISED", "UNSUPPORTED")
    assert policy.known is None
    assert not policy.mitigation.allowed


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("plan: full", "plan: fast", "4:9: run.plan: must be 'quick', 'standard' or 'full'"),
        ("plan:", "plans:", "4:3: run: unknown key 'plans'; did you mean 'plan'?"),
        ("1e-4", "1", "5:9: run.rate: must be between 0 and 1, both exclusive, not 1"),
        ("1e-4", "low", "5:9: run.rate: must be a number, not 'low'"),
        ("age_days: 7", "age_days: -1", "6:13: run.age_days: must be 0 or more, not -1"),
        ("age_days: 7", "age_days: yes", "6:13: run.age_days: must be a number, not 'yes'"),
        ("tx-tcp-seg", "tx-tpc-seg", "8:14: nic.features[0]: there is no feature 'tx-tpc-"),
        (
            "    - driver: i40e\n      firmware",
            "    - firmware",
            "nic.refused[0]: 'driver' is miss",
        ),
        ('"<9.20"', "newest", "11:17: nic.refused[0].firmware: 'newest' is no range of"),
        ("2027-01-31", "never", "13:10: known.until: must be a date, not 'never'"),
        ("  until: 2027-01-31", "  {}", "12:1: known: 'until' is missing"),
        ("allowed: true", "allowed: maybe", "15:12: mitigation.allowed: must be true or false"),
        ("throughput_loss: 20", "throughput_loss: .nan", "16:20: mitigation.throughput_loss: must"),
        ("nic:\n", "nic:\n  verdicts: [FAIL]\n", "8:14: nic.verdicts[0]: must be 'PASS', 'NOT EX"),
        ("nic:\n", "nic:\n  verdicts: []\n", "nic.verdicts: must not be empty"),
        ("version: 1", "version: 2", "1:10: version: must be 1, not 2"),
        (FILE, "", " the file is empty\n  next: begin from what `vxqual init policy` writes"),
    ],
)
def test_errors_name_their_place(old: str, new: str, said: str) -> None:
    assert old in FILE
    with pytest.raises(UsageError) as caught:
        parse_as(POLICY, FILE.replace(old, new), "policy.yaml")
    assert str(caught.value).startswith("policy.yaml:")
    assert said in str(caught.value)


def test_a_policy_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no such file\n.*vxqual init policy"):
        load_as(POLICY, tmp_path / "policy.yaml")

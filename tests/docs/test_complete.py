"""The documents are complete: what the code has, they name."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from qualification.judge.known.expectations import Known
from qualification.judge.verdict import Verdict
from qualification.plan.cells import CONTROLS, PLANS, TAGGED
from qualification.plan.extra_flows import EXTRA_FLOWS
from qualification.plan.flows import STATES
from qualification.results.terminal.report import LETTERS
from qualification.topology import Topology
from qualification.wire.crafted.catalogue import PACKET_SETS
from qualification.wire.crafted.receive_tests import RIGHT, WRONG

from .documents import DOCUMENTS, ROOT


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_readme_is_a_screen_and_a_half() -> None:
    assert len(text("README.md").splitlines()) <= 90


def test_every_document_is_linked_from_the_readme() -> None:
    linked = re.findall(r"\]\(([^)]+)\)", text("README.md"))
    names = {path.relative_to(ROOT).as_posix() for path in DOCUMENTS} - {"README.md"}
    assert names <= set(linked)


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_explained(verdict: Verdict) -> None:
    assert f"\n| {verdict} | `{LETTERS[verdict]}` |" in text("docs/concepts.md")


@pytest.mark.parametrize("name", [*CONTROLS, TAGGED, *PLANS])
def test_every_control_and_plan_is_explained(name: str) -> None:
    assert re.search(rf"^\| `{re.escape(name)}`", text("docs/concepts.md"), re.MULTILINE)


@pytest.mark.parametrize("packet_set", PACKET_SETS.values(), ids=lambda one: one.name)
def test_every_packet_set_is_explained_with_its_faults(packet_set: Any) -> None:
    (row,) = [
        line
        for line in text("docs/traffic.md").splitlines()
        if line.startswith("| ") and f"`{packet_set.name}`" in line.split("|")[1]
        and len(line.split("|")) == 5
    ]  # fmt: skip
    assert set(packet_set.faults) == set(re.findall(r"`([^`]+)`", row.split("|")[3]))


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        *((name, faults) for name, (_, faults) in EXTRA_FLOWS.items()),
        *((f"@{name}", faults) for name, (_, faults) in STATES.items()),
    ],
)
def test_every_extra_flow_and_state_is_explained_with_its_faults(name: str, faults: str) -> None:
    (row,) = re.findall(rf"^\| `{re.escape(name)}` \|.*$", text("docs/traffic.md"), re.MULTILINE)
    assert set(faults.split(", ")) == set(re.findall(r"`([^`]+)`", row.split("|")[3]))


@pytest.mark.parametrize("shape", [*RIGHT, *WRONG])
def test_every_receive_shape_is_explained(shape: str) -> None:
    assert re.search(rf"^\|[^|]*`{shape}`[^|]*\|", text("docs/traffic.md"), re.MULTILINE)


def test_every_key_of_a_topology_is_explained() -> None:
    form = Topology.model_json_schema()
    models = [form, *(one for one in form["$defs"].values() if one.get("type") == "object")]
    keys = {key for model in models for key in model.get("properties", {})}
    assert {"hosts", "underlay", "known_hosts", "vlan", "firmwares", "mtu"} < keys
    document = text("docs/topology.md")
    missing = [
        key
        for key in sorted(keys)
        if f"\n| `{key}` |" not in document  # a row, a section, or a knob's neighbour
        and f"### `hosts.NAME.{key}" not in document
        and f"its `{key}`" not in document
    ]
    assert not missing


def test_every_condition_of_an_expectation_is_named() -> None:
    words = {"firmware", "kernel", "driver", "features", "flow", "reason", "link", "verdicts"}
    assert words < set(Known.model_fields)
    for word in words:
        assert word in text("docs/results.md").split("## Known failures")[1]


def signatures() -> set[str]:
    """Every name that a signature may have, as the sources of the judge have it."""
    judge = ROOT / "qualification/judge"
    sources = [*(judge / "signature").rglob("*.py"), *(judge / "receive").glob("*.py")]
    named = re.compile(
        r'(?:Hypothesis|Shared|Signature|LayerFinding|return)\(?\s*"([a-z0-9-]+)",|'
        r', "([a-z-]+)"\),$',
        re.MULTILINE,
    )
    return {
        name
        for source in sources
        for match in named.finditer(source.read_text(encoding="utf-8"))
        if (name := match[1] or match[2])
    }


def test_every_signature_is_explained() -> None:
    section = text("docs/concepts.md").split("## Signatures")[1].split("\n## ")[0]
    explained = set(re.findall(r"`([a-z0-9-]+)`", section))
    assert len(signatures()) > 30
    assert signatures() <= explained


def test_the_diagram_of_rooms_is_the_contract() -> None:
    settings = tomllib.loads(text("pyproject.toml"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(
        one["layers"] for one in contracts if one["type"] == "layers" and "containers" not in one
    )
    diagram = text("docs/architecture.md").split("```mermaid")[1].split("```")[0]
    shown = dict(re.findall(r'(L\d+)\["([^"]+)"\]', diagram))
    arrows = re.findall(r"(L\d+)\S* --> (L\d+)", re.sub(r'\["[^"]+"\]', "", diagram))
    assert [shown[f"L{n}"] for n in range(1, len(shown) + 1)] == [
        one.replace("qualification.", "") for one in layers
    ]
    assert arrows == [(f"L{n}", f"L{n + 1}") for n in range(1, len(shown))]


def test_the_glossary_is_alphabetical_and_a_line_for_each_term() -> None:
    lines = text("docs/glossary.md").split("\n\n")[2].splitlines()
    terms = [match[1] for line in lines if (match := re.match(r"- \*\*(.+?)\*\*: .+\.", line))]
    assert len(terms) == len(lines) > 60

    def order(term: str) -> str:
        return re.sub(r"[^a-z0-9]", "", term.lower())

    assert terms == sorted(terms, key=order)
    assert len(set(terms)) == len(terms)

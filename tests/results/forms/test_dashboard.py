"""The dashboard for Grafana: its form, and that each of its queries asks for what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from ruamel.yaml import YAML

from qualification.results.forms import metrics
from qualification.shipped import report_file

from ..conftest import Make, campaign
from .test_metrics import faulty

__all__ = ["campaign"]
BOARD: dict[str, Any] = json.loads(report_file("metrics/dashboard.json").read_text())
PANELS: list[dict[str, Any]] = BOARD["panels"]
TARGETS = [(panel["title"], one) for panel in PANELS for one in panel.get("targets", ())]
VARIABLES = {one["name"]: one for one in BOARD["templating"]["list"]}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def query(expression: str) -> str:
    """A query as Prometheus gets it, with the variables of Grafana replaced."""
    assert set(re.findall(r"\$(\w+)", expression)) <= {*VARIABLES, "__rate_interval"}
    return expression.replace("$__rate_interval", "5m").replace("$", "")


def selectors(node: object) -> Iterator[promql_parser.VectorSelector]:
    """Every series that a parsed query asks for."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield from selectors(node.vector_selector)
    elif isinstance(node, promql_parser.BinaryExpr):
        yield from selectors(node.lhs)
        yield from selectors(node.rhs)
    elif isinstance(node, promql_parser.Call):
        for one in node.args:
            yield from selectors(one)
    elif isinstance(node, (promql_parser.AggregateExpr, promql_parser.ParenExpr)):
        yield from selectors(node.expr)
    else:
        assert isinstance(node, promql_parser.NumberLiteral), node


ASKED = [
    one for _, target in TARGETS for one in selectors(promql_parser.parse(query(target["expr"])))
]


def rules() -> list[dict[str, Any]]:
    read = YAML(typ="safe").load(report_file("metrics/alerts.yaml").read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


def written(campaign: Make) -> dict[str, set[str]]:
    """The metrics that a run writes, with their labels."""
    text = metrics.exposition(faulty(campaign), {}).decode()
    return {
        match[1]: set(re.findall(r'(\w+)="', match[2]))
        for match in re.finditer(r"^(\w+)\{(.*)\} ", text, re.MULTILINE)
    }


def test_every_query_asks_for_metrics_that_are_written(campaign: Make) -> None:
    there = written(campaign)
    asked = {one.name for one in ASKED}
    ours = {name for name in asked if name.startswith("vxqual_")}
    assert ours == there.keys(), "each metric of a run has its place"
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    counters = set(re.findall(r"\bnode_netstat_\w+", str(rules())))
    assert asked - ours == recorded | counters | {"ALERTS"}
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    (named,) = re.findall(r'alertname=~"([^"]+)"', json.dumps(BOARD).replace('\\"', '"'))
    assert set(named.split("|")) == alerts


def test_every_label_is_one_that_the_metric_has(campaign: Make) -> None:
    there = written(campaign)
    for title, target in TARGETS:
        names = {
            one.name
            for one in selectors(promql_parser.parse(query(target["expr"])))
            if one.name in there
        }
        if not names:
            continue
        labels = set.intersection(*(there[name] for name in names))
        used = set(re.findall(r'(\w+)=~?"', target["expr"]))
        used |= {
            word for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for word in by.split(", ")
        }
        used |= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert used <= labels, title


def test_the_variables_ask_for_labels_that_there_are(campaign: Make) -> None:
    there = written(campaign)
    assert VARIABLES["datasource"]["type"] == "datasource"
    assert VARIABLES["datasource"]["query"] == "prometheus"
    for name in ("driver", "firmware"):
        one = VARIABLES[name]
        assert one["datasource"] == SOURCE
        asked = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", one["query"]["query"])
        assert asked
        assert asked[2] == name
        assert name in there[asked[1]]


def test_its_form() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids) > 10
    assert BOARD["uid"]
    assert isinstance(BOARD["schemaVersion"], int)
    for panel in PANELS:
        if panel["type"] == "row":
            continue
        assert panel["datasource"] == SOURCE
        assert panel["description"]
        refs = [one["refId"] for one in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0
        assert all(one["datasource"] == SOURCE for one in panel["targets"])
    for one, other in combinations((panel["gridPos"] for panel in PANELS), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, f"{one} is over {other}"
        assert one["x"] + one["w"] <= 24


def lost(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """What of a JSON value is not in another one."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key, inside in one.items():
            if key in other:
                yield from lost(inside, other[key], f"{place}/{key}")
            else:
                yield f"{place}/{key}"
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (inside, same) in enumerate(zip(one, other, strict=True)):
            yield from lost(inside, same, f"{place}/{number}")
    elif one != other:
        yield place


def through_grafana(board: dict[str, Any]) -> Any:
    """A dashboard as Grafana's own model of one, generated from its schema, understands it."""
    register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))


def test_grafanas_model_knows_every_key_of_it() -> None:
    # The definition of a variable is what its page shows; the model has its query alone.
    shown = {f"/templating/list/{n}/definition" for n in (1, 2)}
    assert set(lost(BOARD, through_grafana(BOARD))) == shown
    mistaken = {**BOARD, "panles": []}
    assert set(lost(mistaken, through_grafana(mistaken))) == {*shown, "/panles"}


@pytest.mark.slow
def test_prometheus_takes_every_query(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool, to check what Prometheus takes: apt-get install prometheus")
    rules = [
        {"record": f"dashboard:query{n}", "expr": query(target["expr"])}
        for n, (_, target) in enumerate(TARGETS)
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", file], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(rules)} rules found" in done.stdout

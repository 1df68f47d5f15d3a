"""The metrics of a run, as Prometheus' own parser reads them, and the alert rules that use them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parsed
from ruamel.yaml import YAML

from qualification.errors import UsageError
from qualification.judge.verdict import Verdict
from qualification.results.conclusion import RunOutcome
from qualification.results.forms import metrics
from qualification.results.forms.last_qualified import last_qualified
from qualification.results.index.database import Database, url_of
from qualification.results.index.writing import index
from qualification.results.matrix import Matrix, write
from qualification.shipped import report_file

from ..conftest import ALL_OFF, ALL_ON, TCP, UDP, Make, built, campaign, made

__all__ = ["campaign"]
DAY = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

ETHTOOL = {
    "i40e": ["port.rx_csum_bad"],
    "ice": ["rx_csum_bad.nic", "rx_eipe_error.nic"],
    "ixgbe": ["rx_csum_offload_errors"],
    "igb": ["rx_queue_0_csum_err", "rx_queue_11_csum_err"],
    "bnxt_en": ["rx_total_l4_csum_errors", "[3]: rx_l4_csum_errors", "rx_l4_csum_errors"],
    "ena": ["queue_0_rx_bad_csum", "queue_17_rx_csum_bad"],
    "sfc": ["rx_inner_tcp_udp_chksum_err", "rx_outer_tcp_udp_chksum_err"],
    "amd-xgbe": ["rx_vxlan_csum_errors"],
    "be2net": ["rx_tcp_checksum_errs", "rx_udp_checksum_errs"],
}
"""Counters of wrong checksums by driver, as `ethtool -S` names them."""
NO_ERRORS = ["rx_csum_none", "rx_csum_complete", "queue_0_rx_csum_good", "rx_packets", "tx_errors"]


def faulty(campaign: Make) -> Matrix:
    """A run with a NIC that fails and one that is good."""
    run = campaign(x710=("i40e", "8.30"), e810=("ice", "4.40"))
    cells = [
        made(ALL_ON, TCP, Verdict.FAIL, frames=7000, bad=210),
        made(ALL_OFF, TCP, frames=7000),
        made(ALL_OFF, UDP, Verdict.NOT_EXERCISED),
        made(ALL_ON, TCP, pair="e810", frames=8000),
    ]
    heals = {"x710": ["tx-udp_tnl-csum-segmentation"]}
    return built(run, cells, mitigation=heals, outcome=RunOutcome.NOT_QUALIFIED)


def samples(content: bytes) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Every sample by the name of its metric."""
    return {
        family.name: [(dict(one.labels), one.value) for one in family.samples]
        for family in parsed(content.decode())
    }


def test_what_is_told_of_each_nic(campaign: Make) -> None:
    found = samples(metrics.exposition(faulty(campaign), {}))
    of_nic = {"pair": "x710", "host": "x710-dut", "interface": "p0", "driver": "i40e"}
    of_nic["firmware"] = "8.30"
    told = {
        name: [
            ({key: value for key, value in labels.items() if key not in of_nic}, value)
            for labels, value in some
            if of_nic.items() <= labels.items()
        ]
        for name, some in found.items()
    }
    assert told["vxqual_qualified"] == [({}, 0)]
    assert [(labels["outcome"], v) for labels, v in told["vxqual_outcome"] if v] == [
        ("NOT QUALIFIED", 1)
    ]
    assert {labels["verdict"]: value for labels, value in told["vxqual_cells"]} == {
        **{str(verdict): 0 for verdict in Verdict},
        "PASS": 1,
        "FAIL": 1,
        "NOT EXERCISED": 1,
    }
    assert told["vxqual_last_qualified_timestamp_seconds"] == [], "it never was"
    assert told["vxqual_run_start_timestamp_seconds"] == [({}, DAY.timestamp())]
    assert told["vxqual_frames"] == [({}, 14_000)]
    assert told["vxqual_wrong_frames"] == [({}, 210)]
    assert told["vxqual_mitigation"] == [({"feature": "tx-udp_tnl-csum-segmentation"}, 1)]
    share = {labels["bound"]: value for labels, value in told["vxqual_worst_cell_corruption_ratio"]}
    assert share["value"] == pytest.approx(0.03)
    assert share["low"] < 0.03 < share["high"]
    cells = {labels["cell"] for labels, _ in told["vxqual_worst_cell_corruption_ratio"]}
    assert cells == {"x710/all-on/outer4-csum/inner4/tcp"}
    ((info, _),) = told["vxqual_nic_info"]
    assert info["pci_id"] == "8086:1572"
    assert info["run"] == "20260102-030405-6"

    good = {labels["pair"]: value for labels, value in found["vxqual_qualified"]}
    assert good == {"x710": 0, "e810": 1}
    ((labels, at),) = found["vxqual_last_qualified_timestamp_seconds"]
    assert (labels["pair"], at) == ("e810", DAY.timestamp())


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r")))
def test_any_firmware_is_one_label(text: str) -> None:
    nic = faulty(_make()).nics[0]
    results = replace(faulty(_make()), nics=(replace(nic, firmware=text),))
    found = samples(metrics.exposition(results, {}))
    assert {labels["firmware"] for some in found.values() for labels, _ in some} == {text}


def _make() -> Make:
    return campaign.__wrapped__()  # type: ignore[attr-defined,no-any-return]


def test_when_it_was_last_qualified_is_found_in_the_store(tmp_path: Path, campaign: Make) -> None:
    database = Database(url_of(tmp_path))
    results = faulty(campaign)

    def store(name: str, outcome: RunOutcome, bad: int, firmware: str = "8.30") -> None:
        run = campaign(x710=("i40e", firmware), e810=("ice", "4.40"))
        verdict = Verdict.FAIL if bad else Verdict.PASS
        cells = [
            made(ALL_ON, TCP, verdict, frames=7000, bad=bad),
            made(ALL_ON, TCP, Verdict.FAIL, pair="e810", frames=7000, bad=7),
        ]
        one = built(run, cells, outcome=outcome)
        started = datetime.strptime(name, "%Y%m%d").replace(tzinfo=UTC).isoformat()
        one = replace(one, run=replace(one.run, id=f"{name}-000000-1", started=started))
        place = tmp_path / one.run.id
        place.mkdir()
        write(one, place / "matrix.json")
        index(database, one, place)

    store("20251120", RunOutcome.NOT_QUALIFIED, 0)  # the other NIC failed
    assert last_qualified(database, results) == {"x710": datetime(2025, 11, 20, tzinfo=UTC)}
    store("20251121", RunOutcome.NOT_QUALIFIED, 7)
    store("20251122", RunOutcome.NOT_QUALIFIED, 0, firmware="9.20")
    store("20251123", RunOutcome.INTERRUPTED, 0)
    store("20260103", RunOutcome.NOT_QUALIFIED, 0)  # after the run that is told of
    last = last_qualified(database, results)
    assert last == {"x710": datetime(2025, 11, 20, tzinfo=UTC)}
    told = samples(metrics.exposition(results, last))["vxqual_last_qualified_timestamp_seconds"]
    assert {labels["pair"]: at for labels, at in told} == {
        "x710": last["x710"].timestamp(),
        "e810": DAY.timestamp(),
    }


def test_the_file_is_whole_and_everybody_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "lab.prom"
    path.write_text("old")
    path.chmod(0o600)
    before = os.umask(0o077)
    try:
        metrics.write(b"new\n", path)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["lab.prom"]
    with pytest.raises(UsageError, match=r"files that end in \.prom alone"):
        metrics.write(b"", tmp_path / "lab.txt")
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        metrics.write(b"", tmp_path / "nowhere" / "lab.prom")


def rules() -> list[dict[str, object]]:
    read = YAML(typ="safe").load(report_file("metrics/alerts.yaml").read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


def exported(counter: str) -> str:
    """The name that node_exporter gives a counter (collector/ethtool_linux.go)."""
    name = re.sub(r"_*[^0-9A-Za-z_]+_*", "_", counter).lower().lstrip("_")
    name = re.sub(r"(^|_)rx(_|$)", r"\1received\2", name)
    return "node_ethtool_" + re.sub(r"(^|_)tx(_|$)", r"\1transmitted\2", name)


def test_the_rules_know_the_counters_of_every_driver() -> None:
    (names,) = {
        found[1]
        for rule in rules()
        if (found := re.search(r'__name__=~"([^"]+)"', str(rule["expr"])))
    }
    for counter in (name for some in ETHTOOL.values() for name in some):
        assert re.fullmatch(names, exported(counter)), counter
    for counter in NO_ERRORS:
        assert not re.fullmatch(names, exported(counter)), counter


def test_the_rules_use_metrics_that_there_are(campaign: Make) -> None:
    there = samples(metrics.exposition(faulty(campaign), {}))
    used = {name for rule in rules() for name in re.findall(r"\bvxqual_\w+", str(rule["expr"]))}
    assert used
    assert used <= there.keys()


@pytest.mark.slow
def test_the_rules_fire_when_they_should() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool, to check what Prometheus takes: apt-get install prometheus")
    test = Path(__file__).with_name("alerts_test.yaml")
    done = subprocess.run(
        [promtool, "test", "rules", test], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr

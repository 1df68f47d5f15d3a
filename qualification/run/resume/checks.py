"""Continuing a run: the options that it was asked with, and whether anything is another by now."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qualification import __version__, topology
from qualification.campaign import Campaign
from qualification.config.reading import load_as
from qualification.errors import UsageError
from qualification.inventory import Inventory, Nic
from qualification.judge.known.expectations import EXPECTATIONS
from qualification.progress import Progress
from qualification.results.run_directory import StoredRun
from qualification.run.versions import controller_versions
from qualification.topology import Topology

DEFAULTS: Mapping[str, Any] = {
    "vx_plan": "standard",
    "vx_rate": 1e-3,
    "vx_confidence": 0.999,
    "vx_symptom": "auto",
}
"""What an option is that was not given: for a new run. One that is continued keeps its own."""
_NEW = "start a new run, without --resume"


def settle(options: Namespace, stored: StoredRun | None) -> None:
    """Gives the options that were not given their values.

    Args:
        options: Pytest's options, which are changed.
        stored: The run that is continued; None for a new run.

    Raises:
        UsageError: An option asks for something else than the run did.
    """
    if stored is None:
        for name, value in DEFAULTS.items():
            if getattr(options, name) is None:
                setattr(options, name, value)
        return
    campaign, selection = stored.campaign, stored.selection
    was: dict[str, tuple[str, Any]] = {
        "vx_plan": ("--plan", campaign.plan),
        "vx_rate": ("--rate", campaign.demand.rate),
        "vx_confidence": ("--confidence", campaign.demand.confidence),
        "vx_seed": ("--seed", campaign.seed),
        "vx_symptom": ("--symptom", "on" if campaign.symptom else "off"),
        "vx_pair": ("--pair", list(campaign.pairs)),
        "vx_wire_check": ("--vx-wire-check", bool(campaign.wires)),
        "keyword": ("-k", selection.keyword),
        "markexpr": ("-m", selection.marks),
    }
    for name, (option, value) in was.items():
        asked = getattr(options, name)
        same = sorted(asked) == sorted(value) if isinstance(asked, list) else asked == value
        given = asked not in (None, [], "", "auto") and asked is not False
        if given and not same:
            raise UsageError(
                f"the run was made with {option} {_words(value)}, and {_words(asked)} is asked for "
                "now",
                where=str(stored.directory),
                hint=f"leave {option} out, or {_NEW}",
            )
        setattr(options, name, value)
    options.vx_partial_ok = options.vx_partial_ok or selection.partial_ok
    known = options.vx_expectations
    if known is not None and load_as(EXPECTATIONS, Path(known)) != campaign.expectations:
        raise UsageError(
            f"the run was made with other expectations than {known}",
            where=str(stored.directory),
            hint=f"leave --expectations out, and give them to vxqual judge; or {_NEW}",
        )


def _words(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value) or "nothing"


def check_code(stored: StoredRun) -> None:
    """Checks that the code is the same that the run began with.

    Raises:
        UsageError: It is another; the cells of one run would not have been made alike.
    """
    campaign, now = stored.campaign, controller_versions()
    _refuse(
        stored,
        _changes({"vxqual": campaign.version, "the commit of vxqual": campaign.controller.commit},
                 {"vxqual": __version__, "the commit of vxqual": now.commit}),
    )  # fmt: skip


def continued(stored: StoredRun, now: Campaign, say: Progress, *, built: bool) -> Campaign:
    """Returns the campaign of a run that goes on.

    Args:
        stored: The run.
        now: A campaign that was made of the same options with the hosts as they are now.
        say: Prints a line for the user.
        built: Whether vxqual built the hosts, which then have other addresses each time.

    Raises:
        UsageError: The topology or a NIC is another by now; the message names the difference.
    """
    before = stored.campaign
    _refuse(stored, _changes(_flat(before.topology, built=built), _flat(now.topology, built=built)))
    now = replace(now, inventory=Inventory(dict(_nics(stored, now))))
    planned = {cell.id: cell for pair in now.pairs for cell in now.cells(pair)}
    anew = _planned_anew(stored)
    for cell in stored.cells:
        if cell.pair not in anew and planned.get(cell.id) != cell:
            _refuse(stored, iter([f"the plan has no cell {cell.id} any more, or another one"]))
    for note in stored.notes:
        say(note)
    say(
        f"run {before.run_id} goes on: {len(stored.finished)} of {len(stored.cells)} cells are "
        "kept, controls run anew"
    )
    return replace(now, run_id=before.run_id, started=before.started)


def _nics(stored: StoredRun, now: Campaign) -> Iterator[tuple[str, Nic]]:
    """Yields the NICs that a run goes on with, by name.

    One whose host was not found before, or is not found now, is compared with nothing. Where its
    pair is not ready now, its cells stay planned as they were.
    """
    named = [now.topology.pairs[pair] for pair in now.unready]
    waiting = {nic for pair in named for nic in (pair.dut, pair.peer)}
    for name, nic in now.inventory.nics.items():
        was = stored.campaign.inventory.nics.get(name)
        if was is not None and was.found and nic.found:
            changes = _changes(_of_nic(was), _of_nic(nic))
            _refuse(stored, (f"{name}: {change}" for change in changes))
        kept = was is not None and was.found and name in waiting
        yield name, was if kept and was is not None else nic


def _planned_anew(stored: StoredRun) -> set[str]:
    """Returns the pairs that were not ready and have no result: the plan may not have known them.

    Their cells are those of the NIC that is found now.
    """
    results = {cell.pair for cell in stored.cells if cell.id in stored.finished}
    return set(stored.campaign.unready) - results


def check_selection(stored: StoredRun, campaign: Campaign, selected: Collection[str]) -> None:
    """Checks that the cells of a run are selected again, and no others.

    Raises:
        pytest.UsageError: They are not: an option of pytest selects others.
    """
    pairs = set(campaign.pairs) - _planned_anew(stored)
    planned = {cell.id for pair in pairs for cell in campaign.cells(pair)}
    if {cell.id for cell in stored.cells if cell.pair in pairs} != planned & set(selected):
        raise pytest.UsageError(
            f"{stored.directory}: other cells are selected than the run had; leave out what "
            "selects them"
        )


def _refuse(stored: StoredRun, changes: Iterator[str]) -> None:
    for change in changes:
        raise UsageError(
            f"the run cannot be continued: {change}", where=str(stored.directory), hint=_NEW
        )


def _changes(before: Mapping[str, object], now: Mapping[str, object]) -> Iterator[str]:
    for name in {**before, **now}:
        was, is_ = before.get(name, "not there"), now.get(name, "not there")
        if was != is_:
            yield f"{name} was {was}, and is {is_} now"


def _of_nic(nic: Nic) -> dict[str, object]:
    facts = nic.facts
    return {
        "the driver": nic.driver,
        "the version of the driver": facts.driver_version or "unknown",
        "the firmware": nic.firmware,
        "the PCI id": facts.pci_id or "unknown",
        "the kernel of the host": nic.host.kernel,
        "the MTU": facts.mtu,
        "the switchable features": " ".join(sorted(n for n, f in facts.features.items() if f.hw)),
    }


def _flat(topology_: Topology, *, built: bool) -> dict[str, object]:
    """Returns the keys of a topology, "hosts.alpha.nics.port0.interface", with their values."""
    from ruamel.yaml import YAML  # noqa: PLC0415  (needed only where a run is continued)

    data = YAML(typ="safe", pure=True).load(topology.dump(topology_))
    if built:
        for host in data["hosts"].values():
            host.pop("ssh", None)
    return dict(_leaves("the topology's ", data))


def _leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(f"{name}{'' if name.endswith(' ') else '.'}{key}", item)
    else:
        yield name, value

"""What only topologies know of reading their files: the models by key path, and their agreement."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, TypeAdapter

from qualification.topology.agreement import disagreements
from qualification.topology.document import Document, Problem
from qualification.topology.models import (
    Firmware,
    Host,
    Lab,
    LoopbackLab,
    Nic,
    Pair,
    Ssh,
    Topology,
)
from qualification.topology.problems import Form, objected
from qualification.topology.wording import Loc

_Model = TypeVar("_Model", bound=BaseModel)


def _disagreeing(document: Document, broken: set[Loc]) -> list[Problem]:
    """Where the sound parts disagree: pydantic looks at the whole only when all parts are sound."""
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get("hosts"), dict):
        return []
    heads = {loc[:2] for loc in broken}

    def sound(section: str, model: type[_Model]) -> dict[str, _Model]:
        entries = data.get(section)
        return {
            name: model.model_validate(entry)
            for name, entry in (entries.items() if isinstance(entries, dict) else ())
            if (section, name) not in heads
        }

    hosts = sound("hosts", Host)
    lab: LoopbackLab | None = LoopbackLab(kind="loopback")
    if "lab" not in {loc[0] for loc in broken if loc}:
        lab = TypeAdapter(Lab).validate_python(data.get("lab"))
    unsure = data["hosts"].keys() - hosts.keys()
    return [
        objected(objection, document)
        for objection in disagreements(hosts, sound("pairs", Pair), lab, unsure)
        if objection.loc not in broken
    ]


TOPOLOGY = Form(
    "topology",
    {
        ("hosts", "*"): Host,
        ("hosts", "*", "ssh"): Ssh,
        ("hosts", "*", "nics", "*"): Nic,
        ("pairs", "*"): Pair,
        ("lab",): LoopbackLab,
        ("lab", "firmwares", "*"): Firmware,
    },
    Topology,
    begin_from="topologies/example.yaml or topologies/loopback.yaml",
    examples="give the path of a topology; topologies/ has examples",
    unions=frozenset({"lab"}),
    hidden=_disagreeing,
)

"""What only topologies know of reading their files: the models by key path, and their agreement."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, TypeAdapter

from qualification.config.document import Document, FileProblem
from qualification.config.problems import Form, objected
from qualification.config.wording import Loc

from .agreement import disagreements
from .models import FirmwareSpec, HostSpec, Lab, LoopbackLab, NicSpec, PairSpec, Ssh, Topology

_Model = TypeVar("_Model", bound=BaseModel)


def _disagreeing(document: Document, broken: set[Loc]) -> list[FileProblem]:
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

    hosts = sound("hosts", HostSpec)
    lab: LoopbackLab | None = LoopbackLab(kind="loopback")
    if "lab" not in {loc[0] for loc in broken if loc}:
        lab = TypeAdapter(Lab).validate_python(data.get("lab"))
    unsure = data["hosts"].keys() - hosts.keys()
    return [
        objected(objection, document)
        for objection in disagreements(hosts, sound("pairs", PairSpec), lab, unsure)
        if objection.loc not in broken
    ]


TOPOLOGY = Form(
    "topology",
    {
        ("hosts", "*"): HostSpec,
        ("hosts", "*", "ssh"): Ssh,
        ("hosts", "*", "nics", "*"): NicSpec,
        ("pairs", "*"): PairSpec,
        ("lab",): LoopbackLab,
        ("lab", "firmwares", "*"): FirmwareSpec,
    },
    Topology,
    begin_from="topologies/example.yaml or topologies/loopback.yaml",
    examples="give the path of a topology; topologies/ has examples",
    unions=frozenset({"lab"}),
    hidden=_disagreeing,
)

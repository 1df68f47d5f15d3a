"""The form of a topology file: its models by key path, and the checks of the whole."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, TypeAdapter

from qualification.config.document import Document, FileProblem
from qualification.config.problems import Form, Union, objected
from qualification.config.wording import Loc

from .agreement import disagreements
from .hosts import HostSpec, NicSpec, PairSpec, Ssh
from .lab import FirmwareSpec, Lab, LoopbackLab, QemuLab
from .models import Topology

_Model = TypeVar("_Model", bound=BaseModel)


def _disagreements(document: Document, broken: set[Loc]) -> list[FileProblem]:
    """Returns where the valid parts of a document disagree.

    Pydantic checks the whole only if all parts are valid; this finds the rest in the same pass.

    Args:
        document: The document.
        broken: The key paths of the problems found so far.
    """
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get("hosts"), dict):
        return []
    heads = {loc[:2] for loc in broken}

    def valid(section: str, model: type[_Model]) -> dict[str, _Model]:
        entries = data.get(section)
        return {
            name: model.model_validate(entry)
            for name, entry in (entries.items() if isinstance(entries, dict) else ())
            if (section, name) not in heads
        }

    hosts = valid("hosts", HostSpec)
    # A lab that is not valid is still a lab: its hosts need no ssh section.
    lab: Lab = LoopbackLab(kind="loopback")
    if "lab" not in {loc[0] for loc in broken if loc}:
        lab = TypeAdapter(Lab).validate_python(data.get("lab"))
    unsure = data["hosts"].keys() - hosts.keys()
    return [
        objected(objection, document)
        for objection in disagreements(hosts, valid("pairs", PairSpec), lab, unsure)
        if objection.loc not in broken
    ]


TOPOLOGY = Form(
    "topology",
    {
        ("hosts", "*"): HostSpec,
        ("hosts", "*", "ssh"): Ssh,
        ("hosts", "*", "nics", "*"): NicSpec,
        ("pairs", "*"): PairSpec,
        ("lab", "firmwares", "*"): FirmwareSpec,
    },
    Topology,
    begin_from="what `vxqual init topology` writes, or one of the examples of `vxqual init lab`",
    examples="`vxqual init topology` writes one of your hosts, `vxqual init lab` has examples",
    unions={"lab": Union("a kind of lab", "loopback", {"loopback": LoopbackLab, "qemu": QemuLab})},
    check_whole=_disagreements,
)

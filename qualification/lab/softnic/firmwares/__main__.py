"""Prints every firmware as a table in Markdown.

python -m qualification.lab.softnic.firmwares > topologies/firmwares.md
"""

from __future__ import annotations

from . import FirmwareModel, models

_HEAD = """\
# Firmwares of soft NICs

A topology's `lab.firmwares` names one for a NIC: `alpha.port0: {model: seed-left, layer: outer}`.
Each also takes `seed`, a number for its random generator; without it the NIC's name is used. A
firmware that acts on the path acts on the frames that leave its NIC. Faults act only on traffic in
tunnels, except for plain-4789, and do not change what the kernel has finished itself.

| firmware | kind | acts on | knobs (default first) | what it does |
|---|---|---|---|---|
"""


def table() -> str:
    """Returns the whole text."""
    return _HEAD + "".join(f"{_row(model)}\n" for model in models())


def _row(model: FirmwareModel) -> str:
    knobs = ", ".join(
        f"`{name}`: {' / '.join(value) if isinstance(value, tuple) else str(value).lower()}"
        for name, value in model.knobs.items()
    )
    return f"| {model.name} | {model.kind} | {model.acts} | {knobs} | {model.summary} |"


if __name__ == "__main__":
    print(table(), end="")

"""The JSON schema of `vxqual verify --json`.

python -m qualification.verify.schema > reports/verify.schema.json
"""

from __future__ import annotations

import json
from typing import Any

from qualification.errors import (
    EXIT_INTERRUPTED,
    EXIT_LAB,
    EXIT_NOT_QUALIFIED,
    EXIT_QUALIFIED,
)
from qualification.stack.classes import Class, Side

from .findings import STATES

_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_CLASSES = [each.value for each in Class]


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def _or_none(kind: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [kind, {"type": "null"}]}


def _counts_by(names: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": names, "additionalProperties": _COUNT}


def schema() -> dict[str, Any]:
    """Returns the schema."""
    flow = _object(
        source=_TEXT,
        destination=_TEXT,
        vni=_or_none(_COUNT),
        inner_family=_or_none({"enum": [4, 6]}),
        protocol={"type": "integer", "minimum": -1, "maximum": 255},
        frames=_COUNT,
        wrong=_COUNT,
        unjudged=_COUNT,
    )
    frame = _object(
        frame={"type": "integer", "minimum": 1},
        fragments={"type": "array", "items": _COUNT},
        time={"type": "number"},
        **{"class": {"enum": _CLASSES}},
        wrong={"type": "boolean"},
        wire_length=_COUNT,
        link_type=_COUNT,
        packets={"type": "array", "items": _TEXT},
        sentences={"type": "array", "items": _TEXT},
        bytes={"type": "string", "pattern": "^([0-9a-f]{2})*$"},
    )
    exits = [EXIT_QUALIFIED, EXIT_NOT_QUALIFIED, EXIT_INTERRUPTED, EXIT_LAB]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What vxqual verify found in a capture",
        **_object(
            file=_TEXT,
            headline=_TEXT,
            exit_code={"enum": exits},
            trouble=_or_none(_TEXT),
            verifier=_TEXT,
            ports={"type": "array", "items": _COUNT},
            noticed_ports=_counts_by({"pattern": "^[0-9]+$"}),
            side=_or_none({"enum": [each.value for each in Side]}),
            frames=_COUNT,
            wrong=_COUNT,
            sent_by_capturing_host=_COUNT,
            unjudged=_COUNT,
            tunnelled=_COUNT,
            vxlan=_COUNT,
            longest_on_wire=_COUNT,
            classes=_counts_by({"enum": _CLASSES}),
            layers={
                "type": "object",
                "additionalProperties": _object(**dict.fromkeys(STATES, _COUNT)),
            },
            reasons=_counts_by({}),
            flows={"type": "array", "items": flow},
            bad_frames={"type": "array", "items": frame},
        ),
    }


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))

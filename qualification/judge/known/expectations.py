"""The form of an expectations file: known failures, each with a reason and an expiry date.

`python -m qualification.judge.known.expectations` prints its JSON schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from qualification.config.problems import Form
from qualification.config.reading import schema_of
from qualification.config.wording import shown, suggestion
from qualification.plan.features import RULES
from qualification.topology.values import Line, Name, Shape, Switch, objection

from .versions import RANGE


def _feature(name: str) -> str:
    if name not in RULES:
        raise objection(f"there is no feature {shown(name)}{suggestion(name, RULES)}")
    return name


def _day(value: object) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise objection(
            f"must be a date, not {shown(value)}", "write a day, for example 2027-01-31"
        ) from None


Range = Annotated[
    str,
    Shape(RANGE, "is no range of versions: write for example '>=8.0, <9.20', '8.30' or '*'"),
]
FeatureName = Annotated[
    str, AfterValidator(_feature), WithJsonSchema({"type": "string", "enum": list(RULES)})
]
Day = Annotated[
    date,
    PlainValidator(_day),
    PlainSerializer(date.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date"}),
]
LinkUrl = Annotated[
    str, Shape(r"https?://\S+", "must be a link that begins with http:// or https://")
]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Known(_Frozen):
    """One known failure. Most keys are required, so that nothing is hidden by accident."""

    driver: Line = Field(
        description="The DUT's driver; * and ? match any characters.", examples=["i40e"]
    )
    firmware: Range = Field(
        description=(
            "Range of the DUT's firmware: conditions separated by commas, or * for any. Versions "
            "are compared part by part, over as many parts as the condition names."
        ),
        examples=[">=8.0, <9.20"],
    )
    kernel: Range = Field(
        default="*", description="Range of the DUT's kernel, likewise.", examples=[">=6.1"]
    )
    offload_set: Line = Field(
        default="*",
        description="Id of the offload set, as in the matrix; * and ? as in driver.",
        examples=["all-but-*"],
    )
    features: Mapping[FeatureName, Switch] = Field(
        default_factory=dict,
        description="Features that must be in effect (true) or not (false), by kernel name.",
        examples=[{"tx-udp_tnl-csum-segmentation": True}],
    )
    flow: Line = Field(
        description="Id of the flow, as in the matrix; * and ? as in driver.",
        examples=["outer?-csum/inner*/tcp"],
    )
    verdicts: tuple[Literal["FAIL", "LOSS"], ...] = Field(
        default=("FAIL",), min_length=1, description="Verdicts that are known: FAIL, LOSS or both."
    )
    reason: Line = Field(description="What is wrong, in a sentence.")
    link: LinkUrl = Field(
        description="The bug report or ticket where it is tracked.",
        examples=["https://example.net/bug/7"],
    )
    expires: Day = Field(
        description="The last day on which the failure is KNOWN; after that it is FAIL again.",
        examples=["2027-01-31"],
    )


class Expectations(_Frozen):
    """Known failures of NICs."""

    version: Literal[1] = Field(description="Version of the file format, which is 1.")
    known: Mapping[Name, Known] = Field(
        json_schema_extra={"additionalProperties": False},
        description="The known failures, by their names in reports.",
    )


EXPECTATIONS = Form(
    "expectations",
    {("known", "*"): Known},
    Expectations,
    begin_from="what `vxqual init expectations` writes",
    examples="`vxqual init expectations` writes one to begin from",
)


def schema() -> dict[str, Any]:
    """Returns the JSON schema of an expectations file."""
    return schema_of(EXPECTATIONS)


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))

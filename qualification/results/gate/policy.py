"""The form of a policy file: what a site demands of a run before its NICs enter production.

`python -m qualification.results.gate.policy` prints its JSON schema.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from qualification.config.problems import Form
from qualification.config.reading import schema_of
from qualification.config.values import Line, Switch, objection
from qualification.config.wording import shown
from qualification.judge.known.expectations import Day, FeatureName, Range
from qualification.plan.cells import PlanName

AllowedVerdict = Literal["PASS", "NOT EXERCISED", "UNSUPPORTED", "INCONCLUSIVE", "LOSS"]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise objection(f"must be a number, not {shown(value)}")
    return float(value)


def _share(value: object) -> float:
    number = _number(value)
    if not 0 < number < 1:
        raise objection(f"must be between 0 and 1, both exclusive, not {shown(value)}")
    return number


def _positive(value: object) -> float:
    number = _number(value)
    if not 0 <= number < float("inf"):
        raise objection(f"must be 0 or more, not {shown(value)}")
    return number


_OPEN = {"exclusiveMinimum": 0, "exclusiveMaximum": 1}
Share = Annotated[float, BeforeValidator(_share), Field(json_schema_extra=_OPEN)]
AtLeastZero = Annotated[float, BeforeValidator(_positive), Field(json_schema_extra={"minimum": 0})]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RunRules(_Frozen):
    """What a run must have been, whatever came of it."""

    plan: PlanName = Field(
        default="standard",
        description="The smallest plan that is enough: quick, standard or full.",
    )
    complete: Switch = Field(
        default=True,
        description="Whether every cell of the plan must have run (true), or a selection will do.",
    )
    rate: Share = Field(
        default=1e-3, description="The corruption rate that a PASS must exclude, or a lower one."
    )
    confidence: Share = Field(
        default=0.999, description="The confidence with which it must, or a higher one."
    )
    age_days: AtLeastZero | None = Field(
        default=None, description="The most days since the run began; any number if it is left out."
    )


class Versions(_Frozen):
    """Some NICs, by driver, firmware and kernel; all three must match."""

    driver: Line = Field(description="The driver; * and ? match any characters.", examples=["i40e"])
    firmware: Range = Field(
        default="*",
        description="Range of the firmware: conditions separated by commas, or * for any.",
        examples=[">=9.20"],
    )
    kernel: Range = Field(default="*", description="Range of the kernel, likewise.")
    reason: Line | None = Field(default=None, description="Why, in a sentence for the certificate.")


class NicRules(_Frozen):
    """What must hold of each DUT."""

    verdicts: tuple[AllowedVerdict, ...] = Field(
        default=("PASS", "NOT EXERCISED", "UNSUPPORTED"),
        min_length=1,
        description="The verdicts that cells may have, besides KNOWN. FAIL is never among them.",
    )
    features: tuple[FeatureName, ...] = Field(
        default=(),
        description="Features that the NIC must have, and must have used in a cell that passes.",
        examples=[["tx-udp_tnl-csum-segmentation"]],
    )
    allowed: tuple[Versions, ...] = Field(
        default=(), description="If there are any, the NIC must be one of these."
    )
    refused: tuple[Versions, ...] = Field(default=(), description="The NIC must be none of these.")


class KnownRules(_Frozen):
    """Failures that the run's expectations file describes."""

    until: Day = Field(
        description="The last day on which cells may be KNOWN, whatever their own last day is.",
        examples=["2027-01-31"],
    )


class MitigationRules(_Frozen):
    """Whether a NIC that fails may be used with features turned off, and at what price."""

    allowed: Switch = Field(
        description="Whether a mitigation that heals every failing flow is good enough."
    )
    throughput_loss: AtLeastZero | None = Field(
        default=None,
        description="The most throughput it may cost, in percent; any if it is left out.",
        examples=[20],
    )
    cpu_increase: AtLeastZero | None = Field(
        default=None,
        description="The most CPU per byte sent it may cost, in percent more; any if left out.",
        examples=[50],
    )


class Policy(_Frozen):
    """What a site demands of a run before its NICs enter production."""

    version: Literal[1] = Field(description="Version of the file format, which is 1.")
    name: Line = Field(description="Its name in certificates.", examples=["production nodes"])
    run: RunRules = Field(default=RunRules(), description="What the run must have been.")
    nic: NicRules = Field(default=NicRules(), description="What must hold of each DUT.")
    known: KnownRules | None = Field(
        default=None, description="Until when cells may be KNOWN; if it is left out, none may."
    )
    mitigation: MitigationRules = Field(
        default=MitigationRules(allowed=False),
        description="Whether a NIC that fails may be used with features turned off.",
    )


POLICY = Form(
    "policy",
    {
        ("run",): RunRules,
        ("nic",): NicRules,
        ("nic", "allowed", "*"): Versions,
        ("nic", "refused", "*"): Versions,
        ("known",): KnownRules,
        ("mitigation",): MitigationRules,
    },
    Policy,
    begin_from="what `vxqual init policy` writes",
    examples="`vxqual init policy` writes one to begin from",
)


def schema() -> dict[str, Any]:
    """Returns the JSON schema of a policy file."""
    return schema_of(POLICY)


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))

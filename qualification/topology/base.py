"""What the models of a topology share: they are frozen, closed, and refuse in plain words."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic_core import InitErrorDetails

from qualification.config.values import objection
from qualification.config.wording import Objection

# Pydantic writes the pattern of a mapping's keys, but lets keys that do not match hold anything.
NO_OTHER_KEYS: dict[str, JsonValue] = {"additionalProperties": False}
"""JSON schema of a mapping whose keys all have to match their pattern."""


class Frozen(BaseModel):
    """A model that cannot be changed and accepts no unknown keys."""

    # Inputs are hidden because one of them may be a password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def refuse(objections: list[Objection]) -> None:
    """Raises all objections at once.

    Args:
        objections: Each with its key path below the model that calls; nothing happens if empty.

    Raises:
        ValidationError: There are objections.
    """
    if objections:
        raise ValidationError.from_exception_data(
            "topology",
            [
                InitErrorDetails(type=objection(what, hint), loc=loc, input=None)
                for loc, what, hint in objections
            ],
        )

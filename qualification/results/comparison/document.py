"""A comparison as JSON, for programs.

`python -m qualification.results.comparison.document` prints its JSON schema.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from .model import Answer, Change, Comparison
from .summary import headline

SCHEMA: Literal[1] = 1


@dataclass(frozen=True)
class Document:
    """What `vxqual compare --json` prints.

    Attributes:
        schema: Number of this schema.
        answer: What the comparison comes to.
        exit_code: The exit code of the command.
        headline: The answer in one line, for people.
        counts: How many cells there are of each change.
        comparison: All of it.
    """

    schema: Literal[1]
    answer: Answer
    exit_code: int
    headline: str
    counts: dict[Change, int]
    comparison: Comparison


_ADAPTER = TypeAdapter(Document)


def dump(comparison: Comparison) -> bytes:
    """Returns a comparison as JSON."""
    counts = {change: sum(cell.change is change for cell in comparison.cells) for change in Change}
    document = Document(
        SCHEMA, comparison.answer, comparison.exit_code, headline(comparison), counts, comparison
    )
    return _ADAPTER.dump_json(document, indent=1)


def schema() -> dict[str, Any]:
    """Returns the JSON schema of the document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_ADAPTER.json_schema(mode="serialization"),
        "title": "vxqual comparison",
    }


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))

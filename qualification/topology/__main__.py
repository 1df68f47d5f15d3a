"""Prints the JSON schema: ``python -m qualification.topology > topologies/schema.json``."""

from __future__ import annotations

import json

from . import schema

if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))

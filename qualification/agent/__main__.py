"""The entry point of the agent, which `qualification.remote.agent_client` starts as root."""

from __future__ import annotations

import os
import sys

from qualification.messages.protocol import SILENCE

from . import privileges
from .serve import claim_stdio, serve


def main() -> None:
    """Serves the controller on stdin and stdout until it is gone, then restores the host."""
    stdin, stdout = claim_stdio()
    try:
        privileges.drop()
    except OSError as error:
        sys.exit(f"agent: it cannot give up privileges that it does not need: {error}")
    # Imported only now, so that nothing that the import prints reaches the channel.
    from qualification.agent.orders.table import operations  # noqa: PLC0415

    table, undo = operations()
    silence = float(os.environ.get("VXQUAL_SILENCE") or SILENCE)
    serve(table, undo, stdin=stdin, stdout=stdout, silence=silence)


if __name__ == "__main__":
    main()

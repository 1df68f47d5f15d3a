"""The agent: started on a host by `qualification.remote.agent_client`, run as root."""

from __future__ import annotations

from qualification.agent.orders.serve import claim_stdio, serve


def main() -> None:
    """Serve the controller on stdin and stdout until it is gone, and put the host back."""
    stdin, stdout = claim_stdio()
    # Imported now: whatever the import prints must not reach the channel.
    from qualification.agent.orders.table import operations  # noqa: PLC0415

    table, undo = operations()
    serve(table, undo, stdin=stdin, stdout=stdout)


if __name__ == "__main__":
    main()

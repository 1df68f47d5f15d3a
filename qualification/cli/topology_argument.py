"""The argument TOPOLOGY, alike in every command; `--topology` and `-t` can be used instead."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

_ENDINGS = (".yaml", ".yml")


class TopologyCommand(click.Command):
    """A command that works on a topology.

    Args:
        *args: As those of click.
        passes_on: Whether it passes on options and arguments that are not its own.
        **kwargs: As those of click.
    """

    def __init__(self, *args: Any, passes_on: bool = False, **kwargs: Any) -> None:
        settings = kwargs.setdefault("context_settings", {})
        settings |= {"allow_extra_args": True, "ignore_unknown_options": passes_on}
        super().__init__(*args, **kwargs)
        self._passes_on = passes_on
        self.params.insert(
            0,
            click.Option(
                ["--topology", "-t"],
                metavar="FILE",
                help="The same as the argument TOPOLOGY: hosts and pairs of the lab, as YAML.",
            ),
        )

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Returns the words of the usage line."""
        pieces = ["TOPOLOGY", *super().collect_usage_pieces(ctx)]
        return [*pieces, "[OPTIONS OF PYTEST]"] if self._passes_on else pieces

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Returns what may come next; what is no option is a file, as TOPOLOGY is one."""
        items = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            return items
        return [*items, CompletionItem(incomplete, type="file")]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the command line; the topology becomes the parameter `topology`.

        With the option `resume` it may be missing: the run that is continued knows it.
        """
        super().parse_args(ctx, args)
        if ctx.resilient_parsing:
            return ctx.args
        place = _place(ctx.args)
        if place is not None and ctx.params["topology"] is not None:
            if self._passes_on and not ctx.args[place].endswith(_ENDINGS):
                return ctx.args
            ctx.fail(
                f"The topology is given twice: {ctx.params['topology']} and {ctx.args[place]}."
            )
        if place is not None:
            ctx.params["topology"] = ctx.args.pop(place)
        resume = ctx.params.get("resume")
        if resume is not None and resume.endswith(_ENDINGS):  # --resume TOPOLOGY
            if ctx.params["topology"] is not None:
                ctx.fail(f"The topology is given twice: {ctx.params['topology']} and {resume}.")
            ctx.params |= {"topology": resume, "resume": ""}
        elif ctx.params["topology"] is None and resume is None:
            raise click.MissingParameter(ctx=ctx, param_type="argument", param_hint="'TOPOLOGY'")
        if ctx.args and not self._passes_on:
            ctx.fail(f"Got unexpected extra argument ({ctx.args[0]})")
        return ctx.args


def _place(args: list[str]) -> int | None:
    """Returns where the topology is among the arguments that are no options of the command.

    It is the first of them, or the one that is named like a YAML file: what follows an option of
    pytest may be that option's value.
    """
    if args and not args[0].startswith("-"):
        return 0
    named = [i for i, text in enumerate(args) if text.endswith(_ENDINGS) and text[0] != "-"]
    return named[0] if named else None

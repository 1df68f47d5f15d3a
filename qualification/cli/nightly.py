"""What a nightly job tells people: the summary of a run, and the command notify."""
# ruff: noqa: PLC0415

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import forms
from .root import codes, examples, main, store_option

if TYPE_CHECKING:
    from qualification.results.comparison.model import Comparison
    from qualification.results.nightly.reading import ReadRun

_WHEN = ("failed", "changed", "always")
_NOTIFY_CODES = codes(
    c0="it is sent, or there was nothing to tell",
    c4="there is no such run, nobody to tell, or a URL that apprise does not know",
    c10="it could not be sent to somebody, or the store fails",
)
_NOTIFY_EXAMPLES = examples("""\
vxqual notify out --to json://hooks.example/nic     the summary of the latest run, as JSON
vxqual notify out --when changed                    to those in VXQUAL_NOTIFY, if there is news
vxqual notify --message 'the nightly run failed'    a text of one's own""")


def summary_of(found: ReadRun, store: str | None) -> tuple[str, Comparison | str]:
    """Returns the summary of a run as Markdown, and the comparison that it tells of.

    Args:
        found: The run.
        store: The store that knows the run before it, as --store names it.
    """
    from qualification.results.nightly.previous import since
    from qualification.results.nightly.summary import page

    compared = since(forms.store_of(store, found.runs), found.results)
    return "\n".join(page(found.results, compared, found.culprits, found.named)), compared


@main.command(epilog=_NOTIFY_EXAMPLES + _NOTIFY_CODES)
@click.argument("run", metavar="[RUN]", default="out")
@click.option(
    "--to",
    multiple=True,
    metavar="URL",
    envvar="VXQUAL_NOTIFY",
    show_envvar=True,
    help="Whom to tell, as a URL of apprise; repeatable. Never shown, since it holds secrets.",
)
@click.option(
    "--when",
    type=click.Choice(_WHEN),
    default="always",
    show_default=True,
    help="Tell of a run that is not QUALIFIED, of news since the last run, or of each.",
)
@click.option(
    "--message", metavar="TEXT", help="Send this instead, where there is no run to tell of."
)
@store_option
def notify(
    run: str, to: tuple[str, ...], when: str, message: str | None, store: str | None
) -> None:
    """Send the summary of a stored run to a webhook, Slack, Teams, an e-mail address and the like.

    RUN is the directory of a run, the directory that --out of `vxqual run` named, of which the
    latest run is meant, or the id of a run in out or in the store; by default, out.

    Arguments of a command are seen by every user of the machine: name URLs in VXQUAL_NOTIFY,
    with blanks between. It needs vxqual[notify]. docs/nightly.md has forms of URLs.
    """
    from qualification.errors import UsageError

    try:
        from qualification.results.nightly import notify as telling
    except ImportError as error:
        raise UsageError(
            f"nobody can be told from here: {error}", hint="pip install 'vxqual[notify]'"
        ) from None
    from qualification.results.nightly.reading import read
    from qualification.results.terminal.report import headline

    if message is not None:
        text = telling.Message("vxqual", message)
    else:
        found = read(run, store)
        made, compared = summary_of(found, store)
        about = found.results.run
        if not telling.wanted(telling.When(when), about, compared):
            click.echo(
                f"nothing to tell of run {about.id}: --when {when}, and it ended {about.outcome}"
            )
            return
        title = f"vxqual: {headline(found.results).text}"
        text = telling.Message(title, made.partition("\n\n")[2], about.outcome)
    sent = telling.send(text, to)
    click.echo(f"told: {', '.join(sent)}")

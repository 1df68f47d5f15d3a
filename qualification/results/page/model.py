"""What the matrix page shows, as JSON: the scripts of `reports/page/` render nothing else.

Cells refer to NICs, offload sets, flows and feature states by their index, so that a page of
thousands of cells stays small. Values that are the default are left out of the JSON.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from qualification.printable import inert

from .evidence_model import PageDetail

Effect = Literal["on", "off", "mixed", ""]
"""Of a feature under an offload set: in effect, not, on some NICs or flows only, or not known."""


@dataclass(frozen=True)
class PageRun:
    """The run.

    Attributes:
        id: Its id.
        started: When it started (ISO 8601, with zone).
        finished: When it ended; empty while it goes on, or where it did not say.
        written: When the page was written.
        live: Whether the run goes on, so that the page is written again.
        version: Version and commit of vxqual.
        topology: The topology file, as the user named it.
        plan: The plan.
        seed: Seed of every payload.
        rate: The corruption rate that a PASS excludes.
        confidence: The confidence of that, and of every interval.
        outcome: How it ends, one of `RunOutcome`; of a run that goes on, how it stands.
        headline: The same as a line for people.
        planned: Cells of the plan.
        selected: Cells that were selected.
        done: Cells that have a result.
        troubles: Errors of the lab, and notes on the files of the run.
    """

    id: str
    started: str
    finished: str
    written: str
    live: bool
    version: str
    topology: str
    plan: str
    seed: int
    rate: float
    confidence: float
    outcome: str
    headline: str
    planned: int
    selected: int
    done: int
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True)
class PageCulprit:
    """A culprit of a NIC, or failing cells of which none is known.

    Attributes:
        off: The fewest features whose turning off heals; empty where none is known.
        device: "nic", or "vxlan" where an option of the VXLAN device heals.
        cells: Number of failing cells.
        flows: Number of their flows.
        reason: The proof, or why none is known, in a sentence.
        proof: Id of the cell that was run again for the proof; empty without one.
    """

    off: tuple[str, ...]
    device: str
    cells: int
    flows: int
    reason: str
    proof: str = ""


@dataclass(frozen=True)
class PageFault:
    """A fault, which many failing cells may show; or why cells could not be judged.

    Attributes:
        cell: Id of the cell that shows it best.
        cells: Number of cells that show it.
        verdict: Their verdict.
        reason: What was seen, in a sentence.
        signature: What the hardware did; empty where that is not known.
    """

    cell: str
    cells: int
    verdict: str
    reason: str
    signature: str = ""


@dataclass(frozen=True)
class Command:
    """A command for a host; `what` says what it does and where."""

    what: str
    text: str


@dataclass(frozen=True)
class PageNic:
    """A NIC that is qualified, with the peer that watches it.

    Attributes:
        pair: Name of the pair.
        outcome: How the pair ends, one of `RunOutcome`.
        facts: What else is known of NIC and peer, as pairs of a name and a value.
        where: In what the failing cells differ from the passing ones; empty where unknown.
        symptoms: What an application would notice, in sentences.
        culprits: What the search for culprits found.
        remedies: Commands that heal it.
        faults: The faults that its failing cells show, and what kept others from an answer.
    """

    pair: str
    outcome: str
    host: str
    interface: str
    driver: str
    firmware: str
    kernel: str
    facts: tuple[tuple[str, str], ...] = ()
    where: str = ""
    symptoms: tuple[str, ...] = ()
    culprits: tuple[PageCulprit, ...] = ()
    remedies: tuple[Command, ...] = ()
    faults: tuple[PageFault, ...] = ()


@dataclass(frozen=True)
class PageSet:
    """An offload set, a column of the matrix.

    Attributes:
        id: Its id.
        effects: What was in effect, for each of `Page.features`.
    """

    id: str
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class PageFlow:
    """A flow, a row of the matrix below its NIC and its group.

    Attributes:
        id: Its id.
        group: The kind of traffic, such as "bulk traffic" or "boundaries @reset".
        outer: What is outside: "IPv4 csum", "IPv6 no csum", "plain IPv4".
        inner: What is inside: "IPv4"; empty for plain traffic.
        traffic: "TCP", "UDP" or "UDP segmented".
        port: The tunnel's UDP port; 0 without a tunnel.
    """

    id: str
    group: str
    outer: str
    inner: str
    traffic: str
    port: int


@dataclass(frozen=True)
class PageCell:
    """A cell; see `qualification.judge.result_row.CellRow` for what is not said here.

    Attributes:
        nic: Index into `Page.nics`.
        set: Index into `Page.sets`.
        flow: Index into `Page.flows`.
        requested: Index into `Page.states`.
        effective: Index into `Page.states`.
        ran: Whether it has a result; cells that a run has not come to yet have none.
    """

    id: str
    nic: int
    set: int
    flow: int
    requested: int
    effective: int
    verdict: str
    reason: str
    ran: bool = True
    frames: int = 0
    bad: int = 0
    lost: int = 0
    rate: float | None = None
    low: float = 0.0
    high: float = 1.0
    signature: str = ""
    culprit: tuple[str, ...] = ()
    expectation: str = ""
    wire: str = ""
    detail: PageDetail | None = None


@dataclass(frozen=True)
class Page:
    """All that the page shows.

    Attributes:
        run: The run.
        features: The features that were varied: kernel name and short name, in their order.
        nics: The NICs, those that fail first.
        sets: The offload sets, grouped by what is in effect.
        flows: The flows.
        states: Distinct states of features, by kernel name, to which cells refer.
        cells: The cells.
    """

    run: PageRun
    features: tuple[tuple[str, str], ...]
    nics: tuple[PageNic, ...]
    sets: tuple[PageSet, ...]
    flows: tuple[PageFlow, ...]
    states: tuple[dict[str, bool], ...]
    cells: tuple[PageCell, ...]


_ADAPTER = TypeAdapter(Page)
_ESCAPE = re.compile(r"\\[bfnrtu]")
"""How JSON writes a control character, among others."""


def dump(page: Page) -> str:
    """Returns the page as JSON that may stand inside a script element of HTML.

    Characters that cannot be seen, such as one that turns the direction of writing, are written as
    escapes that can.

    "<" occurs in JSON only inside strings, where its escape is the same character: no string of a
    run can end the element, or begin a comment in it (HTML standard, "restrictions for contents of
    script elements").
    """
    text = _ADAPTER.dump_json(page, exclude_defaults=True).decode()
    if not text.isprintable() or _ESCAPE.search(text):  # rare, and takes ten times as long
        text = json.dumps(inert(json.loads(text)), ensure_ascii=False)
    return text.replace("<", "\\u003c")

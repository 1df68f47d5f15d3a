"""Text of a host that would be more than text, through every command that shows a stored run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from qualification.campaign import Campaign
from qualification.cli import main
from qualification.inventory import Inventory, Nic
from qualification.judge.verdict import Verdict
from qualification.printable import inert, printable
from qualification.results import matrix, rejudge, run_directory
from qualification.results.run_files import MATRIX

from .conftest import Make
from .test_run_directory import BAD, DEMAND, TODAY, stored

pytestmark = pytest.mark.hostile

__all__ = ["stored"]  # a fixture

NASTY = "\x1b]0;x\a\x9b2J\u202e<script>alert(1)</script>|`$(id)`\r\n"


@pytest.fixture
def run(campaign: Make) -> Campaign:
    """A run on hosts all of whose texts are nasty; as they would be from an agent of before."""
    made = replace(campaign(x710=("i40e", "8.30")), demand=DEMAND)

    def nasty(nic: Nic) -> Nic:
        host = replace(
            nic.host, hostname=NASTY, kernel=NASTY, os=NASTY, cpu=NASTY, verifier=NASTY,
            hypervisor=NASTY, machine=NASTY, hardware_version=NASTY,
        )  # fmt: skip
        facts = replace(
            nic.facts, interface=NASTY, driver=NASTY, driver_version=NASTY, firmware=NASTY,
            bus=NASTY, pci_id=NASTY, devlink={"board.serial_number": NASTY, NASTY: NASTY},
        )  # fmt: skip
        return replace(nic, host=host, facts=facts)

    nics = {name: nasty(nic) for name, nic in made.inventory.nics.items()}
    return replace(made, inventory=Inventory(nics))


@pytest.fixture
def directory(stored: Callable[..., Path]) -> Path:
    found = stored(
        seen={"inner6/tcp": BAD},
        without={"inner4/udp": (Verdict.ERROR, NASTY)},
        troubles=(NASTY,),
    )
    text = (found / "evidence.jsonl").read_text()
    for harmless in ("a line", "inner TCP checksum is 0x1234"):  # of the kernel's log; a finding
        text = text.replace(f'"{harmless}"', json.dumps(NASTY))
    (found / "evidence.jsonl").write_text(text.replace('"x": 1', f"{json.dumps(NASTY)}: 1"))
    made = rejudge.judge(run_directory.read(found), TODAY).matrix
    matrix.write(made, found / MATRIX)
    return found


COMMANDS: list[tuple[str, ...]] = [
    ("judge", "RUN", "-v"),
    ("report", "RUN", "-v"),
    ("compare", "RUN", "RUN"),
    ("compare", "RUN", "RUN", "--markdown"),
    ("compare", "RUN", "RUN", "--json"),
    ("page", "RUN", "--out", "OUT/matrix.html"),
    ("init", "policy", "OUT/policy.yaml"),
    ("gate", "RUN", "-v", "--policy", "OUT/policy.yaml", "--out", "OUT"),
    ("import", "RUN", "--store", "OUT/runs.sqlite"),
    ("site", "OUT/runs.sqlite", "OUT/site"),
    ("runs", "--store", "OUT/runs.sqlite"),
    ("runs", "--store", "OUT/runs.sqlite", "--json"),
    ("history", "--store", "OUT/runs.sqlite"),
    ("history", "--store", "OUT/runs.sqlite", "--json"),
    ("report", "--store", "OUT/runs.sqlite", "-v"),
]


class Tags(HTMLParser):
    """Collects what a browser would run."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self._within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag == "script" and dict(attrs).get("type") != "application/json"
        assert not any(name.startswith("on") for name, _ in attrs), attrs

    def handle_endtag(self, _tag: str) -> None:
        self._within = False

    def handle_data(self, data: str) -> None:
        if self._within:
            self.scripts.append(data)


def test_it_is_inert_everywhere(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("out")
    for command in COMMANDS:
        words = [word.replace("RUN", str(directory)).replace("OUT", str(out)) for word in command]
        done = CliRunner().invoke(main, words)
        assert done.exception is None or isinstance(done.exception, SystemExit), (command, done)
        assert done.exit_code != 3, (command, done.output)
        # Blanks that are not printable by themselves, such as those without width, are in no text.
        assert printable(done.output, lines=True) == done.output, command
        if "--json" in command:
            document = json.loads(done.output)
            assert inert(document, lines=True) == document
        elif "--markdown" in command:
            assert "<script" not in done.output
        for line in done.output.splitlines():
            if line.strip().startswith("ethtool -K"):
                assert "$(id)" not in re.sub(r"'[^']*'", "", line), line
    pages = list(out.rglob("*.html"))
    assert pages
    for path in pages:
        text = path.read_text()
        assert printable(text, lines=True) == text, path
        tags = Tags()
        tags.feed(text)
        assert not any("alert(1)" in script for script in tags.scripts), path
    for path in out.rglob("*.json"):
        assert printable(path.read_text(), lines=True) == path.read_text()

"""The journal: what is written before a change undoes it, in this agent or the next one."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qualification.agent.host import machine
from qualification.agent.host.journal import Journal
from qualification.messages.protocol import AgentProblem

KEY = "4026531840-eth0"


class Undone:
    """Undos that record what they undid, and fail for the numbers in `failing`."""

    def __init__(self, *failing: int) -> None:
        self.numbers: list[int] = []
        self.failing = set(failing)

    @property
    def table(self) -> dict[str, Callable[..., None]]:
        return {"act": self._undo}

    def _undo(self, *, number: int) -> None:
        if number in self.failing:
            raise OSError(f"{number} is stuck")
        self.numbers.append(number)


def test_last_in_first_out_and_the_file_goes(journals: Path) -> None:
    undone = Undone()
    journal = Journal(KEY, undone.table)
    assert journal.recovered == []
    for number in range(5):
        journal.about_to("act", number=number)
    assert [path.name for path in journals.iterdir()] == [f"{KEY}.journal"]
    assert journal.close() == [f"act number={number}" for number in (4, 3, 2, 1, 0)]
    assert undone.numbers == [4, 3, 2, 1, 0]
    assert not journals.exists()
    assert journal.close() == []
    assert undone.numbers == [4, 3, 2, 1, 0]


def test_what_its_writer_has_undone_is_not_undone_again(journals: Path) -> None:
    """Neither by the writer, nor by the next agent after its death."""
    undone = Undone()
    for dies in (False, True):
        journal = Journal(KEY, undone.table)
        for number in range(4):
            journal.about_to("act", number=number)
        journal.undone(2)
        journal.about_to("act", number=9)
        if dies:
            os.close(journal._file)
            journal = Journal(KEY, undone.table)
            assert journal.recovered == [f"act number={number}" for number in (9, 1, 0)]
        journal.close()
    assert undone.numbers == [9, 1, 0] * 2
    assert not journals.exists()


def test_other_journals_stay(journals: Path) -> None:
    one, other = Journal(KEY, {}), Journal("1-eth1", {})
    one.close()
    assert [path.name for path in journals.iterdir()] == ["1-eth1.journal"]
    other.close()
    assert not journals.exists()


def test_it_is_on_disk_before_about_to_returns(journals: Path) -> None:
    journal = Journal(KEY, Undone().table)
    journal.about_to("act", number=7)
    path = journals / f"{KEY}.journal"
    boot, line = path.read_text().splitlines()
    assert json.loads(boot) == {"boot": machine.boot_id()}
    assert json.loads(line) == {"undo": "act", "args": {"number": 7}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(journals.stat().st_mode) == 0o700
    journal.close()


_TRACED = """
import pathlib, sys
from qualification.agent.host import journal
journal.DIRECTORY = pathlib.Path(sys.argv[1])
held = journal.Journal("4026531840-eth0", {"act": print})
held.about_to("act", number=1)
pathlib.Path(sys.argv[2]).write_text("changed")
held.close()
"""


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_file_and_names_are_on_disk_before_the_change(journals: Path, tmp_path: Path) -> None:
    """Its data, its name in the directory, and the directory's own name."""
    done = subprocess.run(
        [
            *("strace", "-f", "-y", "-e", "trace=fsync,openat", sys.executable, "-c", _TRACED),
            *(str(journals), str(tmp_path / "change")),
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    before = done.stderr.partition(f'"{tmp_path}/change"')[0]
    synced = re.findall(r"fsync\(\d+<([^>]*)>\)", before)
    assert synced[-3:] == [str(tmp_path), str(journals), str(journals / f"{KEY}.journal")]


def test_a_directory_that_others_can_write_to_is_refused(journals: Path) -> None:
    """What is written there is carried out by root."""
    journals.mkdir()
    journals.chmod(0o777)
    with pytest.raises(AgentProblem, match="can be written to by others than root") as refused:
        Journal(KEY, {})
    assert refused.value.kind == "journal-unsafe"
    journals.chmod(0o755)
    Journal(KEY, {}).close()


def test_a_journal_is_no_link_to_another_file(journals: Path, tmp_path: Path) -> None:
    journals.mkdir(mode=0o700)
    (tmp_path / "other").write_text("as it was")
    (journals / f"{KEY}.journal").symlink_to(tmp_path / "other")
    with pytest.raises(AgentProblem, match="cannot be written to"):
        Journal(KEY, {})
    assert (tmp_path / "other").read_text() == "as it was"


def test_a_journal_from_before_a_reboot_counts_for_nothing(journals: Path) -> None:
    journals.mkdir(mode=0o700)
    entry = '{"undo": "act", "args": {"number": 1}}\n'
    (journals / f"{KEY}.journal").write_text('{"boot": "another"}\n' + entry)
    undone = Undone()
    journal = Journal(KEY, undone.table)
    assert (journal.recovered, undone.numbers) == ([], [])
    journal.about_to("act", number=2)
    journal.close()
    assert undone.numbers == [2]


def test_killed_while_it_undoes(journals: Path) -> None:
    """Everything is undone again: nothing is forgotten before all of it is done."""
    dying = Journal(KEY, Undone().table)
    for number in range(3):
        dying.about_to("act", number=number)
    pid = os.fork()
    if pid == 0:
        dying._undos = {"act": lambda number: os._exit(9) if number == 1 else None}
        dying.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    os.close(dying._file)
    undone = Undone()
    journal = Journal(KEY, undone.table)
    assert undone.numbers == [2, 1, 0]
    journal.close()


def test_what_it_says_of_an_undo(journals: Path) -> None:
    """Nothing of one that had nothing to do, and its own words of one that has some."""
    journal = Journal(KEY, {"act": lambda number: (None, False, "in words")[number]})
    for number in range(3):
        journal.about_to("act", number=number)
    assert journal.close() == ["in words", "act number=0"]


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_what_fails_stays_for_the_next_and_hinders_nobody(journals: Path, data: Any) -> None:
    count = data.draw(st.integers(0, 6))
    failing = data.draw(st.sets(st.integers(0, max(0, count - 1))))
    first = Undone(*failing)
    journal = Journal(KEY, first.table)
    for number in range(count):
        journal.about_to("act", number=number)
    report = journal.close()
    stuck = [number for number in reversed(range(count)) if number in failing]
    assert first.numbers == [n for n in reversed(range(count)) if n not in failing]
    assert [line for line in report if line.startswith("could not undo")] == [
        f"could not undo act number={number}: {number} is stuck" for number in stuck
    ]
    assert len(report) == count
    assert (journals / f"{KEY}.journal").exists() == bool(stuck)

    second = Undone()
    journal = Journal(KEY, second.table)
    assert journal.recovered == [f"act number={number}" for number in stuck]
    assert second.numbers == stuck
    journal.close()
    assert not journals.exists()


def test_what_the_next_cannot_undo_either_is_undone_after_its_own(journals: Path) -> None:
    journal = Journal(KEY, Undone(1).table)
    journal.about_to("act", number=1)
    journal.close()
    undone = Undone(1)
    journal = Journal(KEY, undone.table)
    assert journal.recovered == ["could not undo act number=1: 1 is stuck"]
    journal.about_to("act", number=2)
    undone.failing.clear()
    journal.close()
    assert undone.numbers == [2, 1]


@pytest.mark.parametrize(
    "torn", ['{"undo": "act", "ar', '{"undo": "act", "args": {"number": 3}', "{"]
)
def test_a_torn_last_line_was_never_acted_on(journals: Path, torn: str) -> None:
    journals.mkdir()
    whole = '{"undo": "act", "args": {"number": 1}}\n{"undo": "act", "args": {"number": 2}}\n'
    (journals / f"{KEY}.journal").write_text(whole + torn)
    undone = Undone()
    journal = Journal(KEY, undone.table)
    assert undone.numbers == [2, 1]
    journal.about_to("act", number=9)
    assert journal.close() == ["act number=9"]


def test_an_undo_of_another_version_is_reported_and_kept(journals: Path) -> None:
    journals.mkdir()
    (journals / f"{KEY}.journal").write_text('{"undo": "unheard-of", "args": {}}\n')
    journal = Journal(KEY, Undone().table)
    assert journal.recovered[0].startswith("could not undo unheard-of")
    journal.close()
    assert "unheard-of" in (journals / f"{KEY}.journal").read_text()


def test_the_lease_is_refused_while_held(journals: Path) -> None:
    held = Journal(KEY, Undone().table)
    held.about_to("act", number=1)
    undone = Undone()
    with pytest.raises(AgentProblem) as refused:
        Journal(KEY, undone.table)
    assert refused.value.kind == "nic-leased"
    assert f"{KEY}.journal" in refused.value.message
    assert refused.value.hint
    assert undone.numbers == []
    Journal("4026531840-eth1", {}).close()  # another NIC is another lease
    assert held.close() == ["act number=1"]
    Journal(KEY, {}).close()


_VICTIM = """
import pathlib, sys, time
from qualification.agent.host import journal
journal.DIRECTORY = pathlib.Path(sys.argv[1])
held = journal.Journal(sys.argv[2], {})
for number in range(int(sys.argv[3])):
    held.about_to("act", number=number)
print("about to act", flush=True)
time.sleep(60)
"""


def test_killed_between_writing_and_acting(journals: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _VICTIM, str(journals), KEY, "3"], stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdout
        assert victim.stdout.readline() == "about to act\n"
        with pytest.raises(AgentProblem, match="another vxqual"):
            Journal(KEY, {})
        victim.kill()
    undone = Undone()
    journal = Journal(KEY, undone.table)
    assert undone.numbers == [2, 1, 0]
    assert journal.recovered == [f"act number={number}" for number in (2, 1, 0)]
    assert journal.close() == []
    assert not journals.exists()


def test_many_agents_come_and_go_on_one_host(journals: Path) -> None:
    """Each leases a NIC of its own, while the directory is removed and made again."""
    failures: list[BaseException] = []

    def agent(number: int) -> None:
        try:
            for turn in range(300):
                journal = Journal(f"{number}-eth0", Undone().table)
                journal.about_to("act", number=turn)
                assert journal.close() == [f"act number={turn}"]
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=agent, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert not journals.exists()


def test_many_agents_want_one_nic_and_one_at_a_time_has_it(journals: Path) -> None:
    """A file that its last holder removes between another's open() and flock() is no lease."""
    holders, most, taken = [0], [0], [0]
    failures: list[BaseException] = []

    def agent() -> None:
        try:
            for _ in range(300):
                try:
                    journal = Journal(KEY, Undone().table)
                except AgentProblem as problem:
                    assert problem.kind == "nic-leased"
                    continue
                holders[0] += 1
                most[0] = max(most[0], holders[0])
                taken[0] += 1
                os.sched_yield()
                holders[0] -= 1
                journal.close()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=agent) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert most == [1]
    assert taken[0] > 0

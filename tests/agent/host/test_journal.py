"""The journal: what is written before a change undoes it, in this agent or the next one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    [line] = (journals / f"{KEY}.journal").read_text().splitlines()
    assert json.loads(line) == {"undo": "act", "args": {"number": 7}}
    journal.close()


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

"""The lease on a NIC: one run has it, others are told which, and death gives it back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qualification.agent.host.lease.lease import HeldLease, check_lease, holder
from qualification.messages.lease import Lessee
from qualification.messages.protocol import AgentProblem

KEY = "4026531840-eth0"
US, OTHERS = Lessee("root@ctl", "20261129-1"), Lessee("kim@desk", "20261129-2")


def test_others_are_told_who_has_it(journals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VXQUAL_SSH_CONNECTION", "192.0.2.7 50022 192.0.2.1 22")
    assert not check_lease(KEY)
    lease = HeldLease(KEY, US)
    said = r"eth0 is leased by root@ctl since \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ, from 192\.0\.2\.7, "
    for look in (lambda: HeldLease(KEY, OTHERS), lambda: check_lease(KEY, OTHERS)):
        with pytest.raises(AgentProblem, match=said + "for run 20261129-1$") as refused:
            look()
        assert refused.value.kind == "nic-leased"
        assert "--wait" in str(refused.value.hint)
    assert check_lease(KEY, US), "an agent of the same run may work on it"
    HeldLease("4026531840-eth1", OTHERS).close()  # another NIC is another lease
    lease.close()
    lease.close()
    assert holder(KEY) is None
    assert not journals.exists()


_VICTIM = """
import pathlib, sys, time
from qualification.agent.host import journal
from qualification.agent.host.lease.lease import HeldLease
from qualification.messages.lease import Lessee
journal.DIRECTORY = pathlib.Path(sys.argv[1])
held = HeldLease(sys.argv[2], Lessee("root@ctl", "20261129-1"))
print("held", flush=True)
time.sleep(60)
"""


def test_death_gives_it_back(journals: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _VICTIM, str(journals), KEY], stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdout
        assert victim.stdout.readline() == "held\n"
        with pytest.raises(AgentProblem, match="is leased by root@ctl"):
            HeldLease(KEY, OTHERS)
        victim.kill()
    assert (journals / f"{KEY}.lease").exists(), "what it wrote is still there"
    assert holder(KEY) is None
    HeldLease(KEY, OTHERS).close()
    assert not journals.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"lessee": 7}', "\\ufffd" * 9000])
def test_a_file_that_says_nothing(journals: Path, content: str) -> None:
    lease = HeldLease(KEY, US)
    (journals / f"{KEY}.lease").write_text(content)
    with pytest.raises(AgentProblem, match="eth0 is leased by another run"):
        check_lease(KEY, US)
    lease.close()


def test_what_another_controller_says_of_itself_is_printable(journals: Path) -> None:
    lease = HeldLease(KEY, Lessee("\x1b[2Jroot\n@ctl", "1"))
    with pytest.raises(AgentProblem, match=re.escape("?[2Jroot?@ctl")):
        check_lease(KEY)
    assert json.loads((journals / f"{KEY}.lease").read_text())["lessee"]["run"] == "1"
    lease.close()


def test_many_want_it_and_one_at_a_time_has_it(journals: Path) -> None:
    holders, most, taken = [0], [0], [0]
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            for _ in range(100):
                try:
                    lease = HeldLease(KEY, Lessee("root@ctl", str(number)))
                except AgentProblem as problem:
                    assert problem.kind == "nic-leased"
                    continue
                holders[0] += 1
                most[0] = max(most[0], holders[0])
                taken[0] += 1
                holders[0] -= 1
                lease.close()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert most == [1]
    assert taken[0] >= 100
    assert not journals.exists()

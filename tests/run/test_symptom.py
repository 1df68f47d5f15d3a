"""How a symptom gets from its test to the controller."""

from __future__ import annotations

import pytest

from qualification.judge.symptom import CallRun, Runs, summarise
from qualification.messages.calls import Calls, ChannelCalls, Served
from qualification.run import symptom

RUN = CallRun(("outer4-csum/inner4",), Calls((ChannelCalls((0.001, 0.002)),), 0.1), Served(2))
CALLS = Runs(1.0, RUN, RUN, RUN)
FOUND = summarise("soft", CALLS)


def test_it_travels_on_its_report() -> None:
    made = pytest.TestReport("test_4.py::test_symptom[x]", ("", 0, ""), {}, "passed", None, "call")
    assert symptom.symptom_of(made) is None
    symptom.attach_calls(made, "soft", CALLS)
    # Over the wire from a worker, as xdist does it.
    assert symptom.symptom_of(pytest.TestReport._from_json(made._to_json())) == FOUND
    assert symptom.properties(FOUND) == [("symptom", FOUND.errors), ("pace", FOUND.pace)]

"""What Allure is told by allure-pytest while a run goes on: of each test as it ends, with its time.

`qualification.results.forms.allure` makes files of a whole run from what is stored: only those have
the outcome of each NIC, and the culprit of each cell, which is found last.
"""

from __future__ import annotations

import allure
import pytest

from qualification.inventory import Ends
from qualification.judge.evidence import Evidence
from qualification.judge.verdict import Verdict
from qualification.printable import markdown
from qualification.results.forms.allure import parts
from qualification.results.matrix import nic_row


def tell(
    config: pytest.Config,
    ends: Ends,
    name: str,
    verdict: Verdict,
    reason: str,
    evidence: Evidence | None,
) -> None:
    """Describes the running test; does nothing if the run does not report to Allure.

    Args:
        config: The configuration of pytest.
        ends: The pair that the test is about.
        name: The id of a cell, "x710/all-on/outer4-csum/inner4/tcp", or "x710/control/plain".
        verdict: Its verdict.
        reason: The reason for it, in a sentence.
        evidence: What it rests on; None if nothing was gathered.
    """
    if not getattr(config.option, "allure_report_dir", None):
        return
    pair, _, rest = name.partition("/")
    first, nic = rest.partition("/")[0], nic_row(pair, "dut", ends.dut)
    kind = first if first == "control" else "cell"
    for label, value in parts.labels(nic, first, kind, str(verdict)).items():
        allure.dynamic.label(label, value)
    for parameter, value in parts.about(nic).items():
        allure.dynamic.parameter(parameter, value, excluded=True)
    allure.dynamic.description(markdown(reason))
    for file in parts.evidence_files(name, evidence) if evidence else ():
        allure.attach(file.content, file.name, file.type, file.name.rpartition(".")[2])

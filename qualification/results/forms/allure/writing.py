"""Writes a run as result files of Allure: the same whenever, and by whatever, they are made.

Names of files and the ids in them follow from the run. Files that an earlier call wrote to the
directory are replaced; those of other tools stay, and are shown beside.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from allure_commons.model2 import (
    Attachment,
    Label,
    Link,
    Parameter,
    StatusDetails,
    TestResult,
    TestStepResult,
)
from allure_commons.utils import md5
from attr import asdict

from qualification.results.matrix import Matrix
from qualification.results.run_directory import StoredRun

from .cells import cell_test
from .describing import (
    CATEGORIES,
    CONFIGURATION,
    ENVIRONMENT,
    EXECUTOR,
    categories,
    configuration,
    duts,
    environment,
    executor,
)
from .model import AllureFile, AllureStep, AllureTest
from .nics import nic_tests

_PREFIX = "vxqual-"
"""Names of result files and attachments begin with it."""

_SINGLE = 64 << 20
"""Bytes of attachments up to which the site is one file, which opens from disk. A larger one is a
directory, which needs a web server."""


def write(
    matrix: Matrix, stored: StoredRun | None, directory: Path, environ: Mapping[str, str]
) -> int:
    """Writes a run to a directory, which is made if there is none.

    Args:
        matrix: The results of the run.
        stored: The stored run; None where only its results are known: steps and evidence are
            missing then.
        directory: The directory.
        environ: The environment, by which a CI is known.

    Returns:
        The number of tests.

    Raises:
        OSError: It cannot be written.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for pattern in ("*-result.json", "*-attachment.*"):
        for old in directory.glob(_PREFIX + pattern):
            old.unlink()
    count = size = 0
    for test in tests(matrix, stored):
        count += 1
        for number, file in enumerate(test.files):
            size += len(file.content)
            _put(directory / _source(matrix, test, number, file), file.content)
        _put(directory / f"{_PREFIX}{_uuid(matrix, test.id)}-result.json", document(matrix, test))
    about = {
        ENVIRONMENT: environment(matrix),
        EXECUTOR: json.dumps(executor(matrix.run.id, environ), indent=1),
        CATEGORIES: json.dumps(categories(), indent=1),
        CONFIGURATION: configuration(matrix, single=size < _SINGLE),
    }
    for name, text in about.items():
        _put(directory / name, text.encode())
    return count


def tests(matrix: Matrix, stored: StoredRun | None) -> Iterator[AllureTest]:
    """Yields the tests of a run: of each DUT its cells, and what else is known of it."""
    for nic in duts(matrix):
        for cell in matrix.cells:
            if cell.pair == nic.pair:
                yield cell_test(matrix, nic, cell, stored)
        yield from nic_tests(matrix, nic, stored)


def document(matrix: Matrix, test: AllureTest) -> bytes:
    """Returns the result file of a test (allurereport.org, "Test result file")."""
    start = _milliseconds(matrix.run.started)
    case = md5(test.id)
    same = [f"{name}={value}" for name, value in sorted(test.identity.items())]
    result = TestResult(
        uuid=_uuid(matrix, test.id),
        testCaseId=case,
        historyId=md5(case, *same),
        fullName=test.id,
        name=test.name,
        titlePath=[test.labels[name] for name in ("parentSuite", "suite", "subSuite")],
        status=test.status,
        statusDetails=StatusDetails(
            known=test.known or None, message=test.message or None, trace=test.details or None
        ),
        stage="finished",
        description=test.description,
        labels=[Label(name, value) for name, value in test.labels.items()],
        parameters=[
            *(Parameter(name, value) for name, value in test.identity.items()),
            *(Parameter(name, value, excluded=True) for name, value in test.about.items()),
        ],
        links=[Link(link.type, link.url, link.name) for link in test.links],
        steps=_steps(test.steps, start),
        attachments=[
            Attachment(file.name, _source(matrix, test, number, file), file.type)
            for number, file in enumerate(test.files)
        ],
        start=start,
        stop=start + round(test.seconds * 1000),
    )
    filled = asdict(result, filter=lambda _, value: bool(value) or value is False)
    return json.dumps(filled, indent=1).encode()


def _steps(steps: Iterable[AllureStep], start: int) -> list[TestStepResult]:
    return [
        TestStepResult(
            name=step.text,
            status=step.status,
            stage="finished",
            steps=_steps(step.steps, start),
            start=start,
            stop=start,
        )
        for step in steps
    ]


def _uuid(matrix: Matrix, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"vxqual/{matrix.run.id}/{name}"))


def _source(matrix: Matrix, test: AllureTest, number: int, file: AllureFile) -> str:
    """Returns the name of the file of an attachment."""
    suffix = Path(file.name).suffix
    return f"{_PREFIX}{_uuid(matrix, f'{test.id}/{number}')}-attachment{suffix}"


def _milliseconds(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1000)


def _put(path: Path, content: bytes) -> None:
    """Writes a file for its owner alone; no fsync, for it can be made again."""
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    file = os.open(
        part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    with os.fdopen(file, "wb") as opened:
        opened.write(content)
    part.replace(path)

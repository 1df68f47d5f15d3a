"""Stored runs that somebody else made: read, or refused with the name of the file; never more."""

from __future__ import annotations

import copy
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from qualification.campaign import Campaign
from qualification.errors import UsageError
from qualification.judge.verdict import Verdict
from qualification.printable import printable
from qualification.results import (
    directories,
    files,
    matrix,
    rejudge,
    run_directory,
)
from qualification.results.directories import RunDirectory
from qualification.results.run_files import EVIDENCE, MATRIX, RUN
from qualification.results.stored import files as stored_files
from qualification.results.terminal.report import report
from tests.examples import examples

from .test_run_directory import BAD, TODAY, run, stored

pytestmark = pytest.mark.hostile

__all__ = ["run", "stored"]  # fixtures

NASTY = "\x1b[2J\u202e<script>"
SHOWN = r"\x1b[2J\u202e<script>"


@pytest.fixture
def made(stored: Callable[..., Path]) -> Path:
    """A stored run with failing cells and a matrix."""
    directory = stored(
        seen={"inner6/tcp": BAD},
        without={"inner4/udp": (Verdict.ERROR, NASTY)},
        troubles=(NASTY,),
    )
    matrix.write(judged(directory), directory / MATRIX)
    return directory


def judged(directory: Path) -> matrix.Matrix:
    return rejudge.judge(run_directory.read(directory), TODAY).matrix


def refusal(directory: Path) -> str:
    with pytest.raises(UsageError) as caught:
        run_directory.read(directory)
    return str(caught.value)


def test_text_is_inert_once_it_is_read(made: Path) -> None:
    found = run_directory.read(made)
    assert found.troubles == (SHOWN,)
    assert {e.reason for e in found.entries.values() if e.verdict} == {SHOWN}
    assert any(cell.reason == SHOWN for cell in matrix.read(made / MATRIX).cells)


@pytest.mark.parametrize("name", [RUN, EVIDENCE])
def test_links_and_what_is_no_file(made: Path, name: str) -> None:
    shutil.move(made / name, made / "elsewhere")
    (made / name).symlink_to("elsewhere")
    assert refusal(made).startswith(f"{made / name}: cannot be read: it is a link to another place")
    (made / name).unlink()
    os.mkfifo(made / name)
    assert refusal(made).startswith(f"{made / name}: is not a regular file")
    (made / name).unlink()


def test_a_file_that_is_too_large(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.truncate(made / RUN, 4 << 30)  # a hole, which takes no space
    assert refusal(made) == f"{made / RUN}: has more than 1024 MiB" + HINT
    with pytest.raises(UsageError, match=r"matrix\.json: has more than 1 MiB"):
        os.truncate(made / MATRIX, 2 << 20)
        stored_files.content(made / MATRIX, most=1 << 20)


HINT = "\n  next: a run that ended before its first cell has none; vxqual.log says why"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[" * 100_000, "it has values that are nested too deeply"),
        (b'{"schema": NaN}', "it has NaN, which is no number of JSON"),
        (b'{"schema": 18446744073709551616}', "it has a whole number of more than 64 bits"),
        (b"\xff\xfe", "it has bytes that are not UTF-8"),
        (b"[" + b"[]," * (1 << 21) + b"0]", "it has more than 2097152 values"),
    ],
)
def test_a_file_that_is_no_json(made: Path, text: bytes, why: str) -> None:
    (made / RUN).write_bytes(text)
    assert refusal(made) == f"{made / RUN}: is not JSON, or is cut short: {why}"
    (made / MATRIX).write_bytes(text)
    with pytest.raises(UsageError, match=r"matrix\.json: is not the matrix of a run: "):
        matrix.read(made / MATRIX)


@pytest.mark.parametrize("text", [b"[" * 9999, b'{"kind": "trouble", "text": NaN}', b"\xff"])
def test_a_line_that_is_no_entry(made: Path, text: bytes) -> None:
    lines = (made / EVIDENCE).read_bytes().splitlines()
    lines[3] = b'{"n": 4, "x": ' + text + b"}"
    (made / EVIDENCE).write_bytes(b"\n".join(lines) + b"\n")
    assert refusal(made).startswith(f"{made / EVIDENCE}:4: is damaged: ")


@pytest.mark.parametrize("target", ["/etc", "../elsewhere", "..", "a/b"])
def test_a_latest_that_leads_elsewhere(tmp_path: Path, target: str) -> None:
    (tmp_path / "latest").symlink_to(target)
    with pytest.raises(UsageError, match=r"latest: is a link to .*, and not to a run beside it"):
        directories.find(tmp_path)


def test_a_topology_that_cannot_be_used_names_the_stored_run(made: Path) -> None:
    document = json.loads((made / RUN).read_text())
    document["campaign"]["topology"] = "a: b: c"
    (made / RUN).write_text(json.dumps(document))
    assert refusal(made).startswith(
        f"{made / RUN}: is not a stored run, for its topology cannot be used: lab.yaml:1:5: malf"
    )


# Writing


def test_a_directory_of_others_is_not_written_to(made: Path) -> None:
    made.chmod(0o770)
    with pytest.raises(UsageError, match="is another user's, or others can write to it"):
        RunDirectory.reopen(made)
    made.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(made, 65534, 65534)
        with pytest.raises(UsageError, match="is another user's, or others can write to it"):
            RunDirectory.reopen(made)
        os.chown(made, 0, 0)
    RunDirectory.reopen(made).close()


def test_no_link_is_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    (tmp_path / f".matrix.json.{os.getpid()}").symlink_to(victim)
    (tmp_path / "matrix.json").symlink_to(victim)
    files.replace(tmp_path / "matrix.json", b"{}")
    assert victim.read_text() == "as it was"
    assert not (tmp_path / "matrix.json").is_symlink()
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(UsageError, match="cannot be written to"):
        RunDirectory.reopen(tmp_path)
    assert victim.read_text() == "as it was"


def test_what_is_written_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        directory = RunDirectory.create(tmp_path / "out", datetime(2026, 1, 2, tzinfo=UTC))
        files.replace(directory.path / MATRIX, b"{}")
        directory.close()
    finally:
        os.umask(before)
    for path in (tmp_path / "out", *(tmp_path / "out").rglob("*")):
        if not path.is_symlink():
            expected = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == expected, path


# Anything in place of anything


WRONG = st.one_of(
    st.sampled_from(
        [None, True, -1, 0, 1, 1 << 62, 0.5, -1.5, 1e300, "", "x", "../../etc", "/", NASTY, [], {}]
    ),
    st.text(max_size=5),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.recursive(st.integers(), st.lists, max_leaves=3),
    st.just({"a": {"b": [1]}}),
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inside:
        if isinstance(each, (dict, list)):
            yield from places(each, (*at, key))
        else:
            yield (*at, key)


def _change(document: Any, data: st.DataObject) -> None:
    *outer, last = data.draw(st.sampled_from(list(places(document))))
    for key in outer:
        document = document[key]
    action = data.draw(st.sampled_from(["put", "put", "put", "remove", "twice"]))
    if action == "put":
        # A copy: a later change may be made within it, and the next example draws the same list.
        document[last] = copy.deepcopy(data.draw(WRONG))
    elif action == "remove":
        del document[last]
    elif isinstance(document, list):
        document.append(copy.deepcopy(document[last]))


@pytest.fixture
def kept(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target: Path = tmp_path_factory.mktemp("hostile") / "run"
    shutil.copytree(made, target)
    return target


@examples(25, list(HealthCheck))
@given(data=st.data())
def test_a_run_with_anything_in_it_is_judged_or_refused(kept: Path, data: st.DataObject) -> None:
    """Changes some values of a run; it is judged, or refused, with a sentence that is harmless."""
    there = kept.parent / "copy"
    shutil.rmtree(there, ignore_errors=True)
    shutil.copytree(kept, there)
    document = json.loads((there / RUN).read_text())
    lines = [json.loads(line) for line in (there / EVIDENCE).read_text().splitlines()]
    for _ in range(data.draw(st.integers(1, 3))):
        _change(document if data.draw(st.booleans()) else data.draw(st.sampled_from(lines)), data)
    (there / RUN).write_text(json.dumps(document))
    (there / EVIDENCE).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    try:
        result = rejudge.judge(run_directory.read(there), date(2026, 1, 3))
    except UsageError as error:
        assert str(there) in str(error)
        assert str(error).replace("\n", "").isprintable()
        return
    for line in report(result.matrix, 100, result.findings, result.culprits):
        assert printable(line.text, lines=True) == line.text


def test_a_campaign_is_what_it_was(run: Campaign, made: Path) -> None:
    assert run_directory.read(made).campaign == run

"""Every link of the documents leads somewhere, and every path that they name is in the tree."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from .documents import DOCUMENTS, ROOT, files, folders, inline_code

ALL = (*DOCUMENTS, ROOT / "topologies/firmwares.md", ROOT / "CHANGELOG.md")
KERNEL = ("drivers/", "include/", "net/", "Documentation/")
"""Where paths are those of Linux."""
RUN = {
    *(
        "matrix.json",
        "run.json",
        "evidence.jsonl",
        "vxqual.log",
        "executor.json",
        "categories.json",
        "allure/history.jsonl",
    ),
    *("my-lab.yaml", "again/matrix.json", "expectations.yaml", "allure/", "out/", "OUT/"),
    *("junit.xml", "out/latest", "policy.yaml"),
    *(
        "certificate.json",
        "certificate.html",
        "certificate.pdf",
        "certificate.json.sig",
        "bundle.json",
    ),
    *(".gitlab-ci.yml", ".github/workflows/vxqual-nightly.yml", "vxqual-report/"),
    *("comparison.md", "summary.md", "/etc/systemd/system", "/var/lib/vxqual"),
}
"""Files of a run, and of the user."""
_NAMED = re.compile(r"[\w.-]+(/[\w.-]+)*/?")
_ENDS = (".py", ".c", ".h", ".md", ".yaml", ".json", ".jsonl", ".toml", ".txt", ".log", "/")

LINKS = [
    (path.relative_to(ROOT).as_posix(), target)
    for path in ALL
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
]
PATHS = sorted(
    {
        (path.relative_to(ROOT).as_posix(), span)
        for path in ALL
        for _, span in inline_code(path)
        if _NAMED.fullmatch(span) and (span.endswith(_ENDS) or span.startswith("scripts/"))
    }
)
MODULES = sorted(
    {
        span
        for path in ALL
        for _, span in inline_code(path)
        if re.fullmatch(r"(qualification|bench|torture)(\.\w+)+", span)
    }
)


def test_there_is_something_to_check() -> None:
    assert len(LINKS) > 20
    assert len(PATHS) > 80


@pytest.mark.parametrize(("document", "target"), LINKS)
def test_a_link_leads_somewhere(document: str, target: str) -> None:
    if re.match(r"https?://", target):
        return
    name, _, heading = target.partition("#")
    path = (ROOT / document).parent / name if name else ROOT / document
    there = path.resolve().relative_to(ROOT).as_posix()
    assert there in files() | folders(), f"{document} links to {target}, which is not there"
    if heading:
        text = path.read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
        assert heading in anchors, f"{document}: {name} has no heading {heading}"


@pytest.mark.parametrize(("document", "span"), PATHS)
def test_a_path_in_backticks_is_there(document: str, span: str) -> None:
    assert is_there(span, document), f"{document} names {span}, which is not there"


@pytest.mark.parametrize("span", ["qualification/wire/nothing.py", "docs/none.md", "none/", "x.py"])
def test_a_path_that_is_not_there_is_found(span: str) -> None:
    assert not is_there(span, "README.md")


def test_a_module_in_backticks_is_there() -> None:
    assert [name for name in MODULES if importlib.util.find_spec(name) is None] == []


def is_there(span: str, document: str) -> bool:
    """Whether a path is in the tree: from its root, a room, or the document's own folder."""
    if span in RUN or span.startswith(KERNEL):
        return True
    name = span.rstrip("/")
    known = files() | folders()
    if "/" not in name:
        return any(Path(one).name == name for one in known)
    below = (ROOT / document).parent.relative_to(ROOT).as_posix()
    return bool({name, f"qualification/{name}", f"{below}/{name}"} & known)

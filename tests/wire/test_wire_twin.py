"""The loader of what is in C: what it finds, what it refuses, and that nothing needs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from ctypes import c_char_p, c_size_t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import qualification
from qualification.wire import twin as loader
from qualification.wire.checksum import ones_sum

ROOT = Path(qualification.__file__).parents[1]
SOURCE = ROOT / "qualification/wire/twin.c"
MACHINE = os.uname().machine


@pytest.fixture
def copied(twin: object, tmp_path: Path) -> Iterator[Path]:
    """The source and what was built of it, elsewhere."""
    shutil.copy(SOURCE, tmp_path)
    shutil.copy(SOURCE.with_name(f"twin-{MACHINE}.so"), tmp_path)
    yield tmp_path / "twin.c"


def test_it_is_loaded_and_says_so(twin: object) -> None:
    assert loader.twin() == (twin, f"C twin ({MACHINE})")


def test_its_sum_is_the_reference_sum(twin) -> None:
    total: Callable[[bytes, int], int] = twin.vx_ones_sum
    total.argtypes = c_char_p, c_size_t  # type: ignore[attr-defined]

    @given(st.binary(max_size=200) | st.binary(min_size=1, max_size=9).map(lambda some: some * 999))
    def same(data: bytes) -> None:
        assert total(data, len(data)) == ones_sum(data)

    same()
    for length in range(200):
        assert total(b"\xff" * length, length) == ones_sum(b"\xff" * length)


def test_the_switch_leaves_it_out(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loader.load(str(copied)).library is not None
    monkeypatch.setenv(loader.SWITCH, "off")
    assert loader.load(str(copied)) == (None, "pure Python: VXQUAL_TWIN=off")


def test_none_was_built(copied: Path) -> None:
    copied.with_name(f"twin-{MACHINE}.so").unlink()
    assert loader.load(str(copied)) == (
        None,
        f"pure Python: no C twin was built for {MACHINE} at install",
    )


def test_one_of_another_source_is_refused(copied: Path) -> None:
    copied.write_text(copied.read_text() + "\n")
    assert loader.load(str(copied)) == (
        None,
        "pure Python: the C twin here is of another source; install again",
    )


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n"])
def test_what_cannot_be_loaded_is_said(copied: Path, content: bytes) -> None:
    built = copied.with_name(f"twin-{MACHINE}.so")
    built.unlink()  # it is mapped by now, if not from here
    built.write_bytes(content)
    found = loader.load(str(copied))
    assert found.library is None
    assert found.says.startswith("pure Python: the C twin cannot be loaded: ")


def test_a_library_that_is_not_ours_is_refused(copied: Path) -> None:
    built = copied.with_name(f"twin-{MACHINE}.so")
    built.unlink()
    empty = copied.with_name("empty.c")
    empty.write_text("int nothing;\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(built), str(empty)], check=True)
    found = loader.load(str(copied))
    assert found.library is None
    assert "vx_source" in found.says


def _pythons() -> list[str]:
    found = [sys.executable]
    oldest = shutil.which("python3.9")
    if (
        oldest
        and not subprocess.run([oldest, "-c", ""], check=False, capture_output=True).returncode
    ):
        found.append(oldest)
    return found


@pytest.mark.parametrize("python", _pythons(), ids=lambda python: Path(python).name)
def test_it_loads_out_of_a_zip_application_and_leaves_no_file(
    twin: object, tmp_path: Path, python: str
) -> None:
    archive = tmp_path / "some.pyz"
    with zipfile.ZipFile(archive, "w") as made:
        for path in (ROOT / "qualification/wire").iterdir():
            if path.is_file():
                made.write(path, str(path.relative_to(ROOT)))
        made.writestr("qualification/__init__.py", "")
    code = (
        f"import sys; sys.path.insert(0, {str(archive)!r}); "
        "from qualification.wire.twin import twin; "
        "print(twin().says, twin().library.vx_ones_sum(b'abc', 3))"
    )
    done = subprocess.run(
        [python, "-I", "-S", "-B", "-c", code],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"C twin ({MACHINE}) {ones_sum(b'abc')}\n"
    assert list(tmp_path.iterdir()) == [archive]


def test_without_a_compiler_an_install_goes_on(tmp_path: Path) -> None:
    """The hook in setup.py, run as an install does, where there is no compiler."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    wire = tmp_path / "qualification/wire"
    wire.mkdir(parents=True)
    shutil.copy(SOURCE, wire)
    for path in (wire, wire.parent):
        (path / "__init__.py").write_text('__version__ = "0"\n')
    done = subprocess.run(
        [sys.executable, "setup.py", "build_py"],
        cwd=tmp_path,
        env={**os.environ, "CC": "no-such-compiler"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "no C compiler" in done.stderr
    assert (tmp_path / "build/lib/qualification/wire/twin.c").exists()
    assert not list(tmp_path.rglob("*.so"))

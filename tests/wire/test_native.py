"""The loader of the C implementations: what it finds, what it refuses, and that it is optional."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from ctypes import c_char_p, c_size_t
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import qualification
from qualification.agent.capture import native_capture
from qualification.agent.traffic import batch
from qualification.lab.softnic import engine
from qualification.stack import native_walk
from qualification.wire import native as loader
from qualification.wire.checksum import ones_sum
from tests.built import built

ROOT = Path(qualification.__file__).parents[1]
MACHINE = os.uname().machine
NATIVES = (native_walk, native_capture, batch, engine)


@pytest.fixture
def copied(native: object, tmp_path: Path) -> Path:
    """Returns a copy of a C file, in a package of its own with its headers and shared object."""
    for name in ("wire", "stack"):
        (tmp_path / "package" / name).mkdir(parents=True)
        for path in (ROOT / "qualification" / name).iterdir():
            if path.suffix in {".c", ".h", ".so"}:
                shutil.copy(path, tmp_path / "package" / name)
    return tmp_path / "package/stack/native_walk.c"


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Returns `install(command, **environment)`, which runs setup.py as an install does."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for path in (ROOT / "qualification").glob("**/*.[ch]"):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
        for folder in target.relative_to(tmp_path).parents:
            if folder.parts[:1] == ("qualification",):
                (tmp_path / folder / "__init__.py").touch()
    shutil.copy(loader.__file__, tmp_path / "qualification/wire")
    (tmp_path / "qualification/__init__.py").write_text('__version__ = "0"\n')

    def run(command: str = "build_py", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "setup.py", command],
            cwd=tmp_path,
            env={**os.environ, **environment},
            check=False,
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.parametrize("module", NATIVES, ids=lambda module: module.__name__)
def test_it_is_loaded_and_reported(module: ModuleType) -> None:
    assert loader.native_for(str(module.__file__)) == (built(module), f"native C ({MACHINE})")


def test_every_c_file_implements_a_module() -> None:
    sources = {str(path) for path in (ROOT / "qualification").glob("**/*.c")}
    assert sources == {f"{str(module.__file__)[:-3]}.c" for module in NATIVES}


def test_its_sum_is_the_reference_sum(native) -> None:
    total: Callable[[bytes, int], int] = native.vx_ones_sum
    total.argtypes = c_char_p, c_size_t  # type: ignore[attr-defined]

    @given(st.binary(max_size=200) | st.binary(min_size=1, max_size=9).map(lambda some: some * 999))
    def same(data: bytes) -> None:
        assert total(data, len(data)) == ones_sum(data)

    same()
    for length in range(200):
        assert total(b"\xff" * length, length) == ones_sum(b"\xff" * length)


def test_the_switch_turns_it_off(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loader.load(str(copied)).library is not None
    monkeypatch.setenv(loader.SWITCH, "off")
    assert loader.load(str(copied)) == (None, "pure Python: VXQUAL_NATIVE=off")


def test_none_was_built(copied: Path) -> None:
    copied.with_name(f"native_walk-{MACHINE}.so").unlink()
    assert loader.load(str(copied)) == (
        None,
        f"pure Python: no C implementation was built for {MACHINE} at install",
    )


@pytest.mark.parametrize(
    "name", ["stack/native_walk.c", "stack/ip.h", "wire/verify.h", "wire/bytes.h"]
)
def test_an_object_built_from_other_source_is_refused(copied: Path, name: str) -> None:
    # the C file itself, or a file that it includes directly or indirectly
    changed = copied.parents[1] / name
    changed.write_text(changed.read_text() + "\n")
    assert loader.load(str(copied)) == (
        None,
        "pure Python: the C implementation was built from other source; install again",
    )


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n"])
def test_the_error_of_loading_is_reported(copied: Path, content: bytes) -> None:
    built = copied.with_name(f"native_walk-{MACHINE}.so")
    built.unlink()  # replaced, not overwritten: it may be mapped
    built.write_bytes(content)
    found = loader.load(str(copied))
    assert found.library is None
    assert found.says.startswith("pure Python: the C implementation cannot be loaded: ")


def test_a_foreign_library_is_refused(copied: Path) -> None:
    built = copied.with_name(f"native_walk-{MACHINE}.so")
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
def test_it_is_loaded_from_a_zip_application_and_leaves_no_file(
    native: object, tmp_path: Path, python: str
) -> None:
    archive = tmp_path / "some.pyz"
    with zipfile.ZipFile(archive, "w") as made:
        for name in ("wire", "stack"):
            for path in (ROOT / "qualification" / name).iterdir():
                if path.is_file():
                    made.write(path, str(path.relative_to(ROOT)))
        made.writestr("qualification/__init__.py", "")
    source = archive / "qualification/stack/native_walk.c"
    code = (
        f"import sys; sys.path.insert(0, {str(archive)!r}); "
        f"from qualification.wire.native import load; found = load({str(source)!r}); "
        "print(found.says, found.library.vx_ones_sum(b'abc', 3))"
    )
    done = subprocess.run(
        [python, "-I", "-S", "-B", "-c", code],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"native C ({MACHINE}) {ones_sum(b'abc')}\n"
    assert list(tmp_path.iterdir()) == [archive]


def test_an_install_works_without_a_compiler(install, tmp_path: Path) -> None:
    for strict in ("", "1"):
        done = install(CC="no-such-compiler", VXQUAL_STRICT_BUILD=strict)
        assert done.returncode == 0, done.stderr
        assert "no C compiler" in done.stderr
    assert (tmp_path / "build/lib/qualification/stack/native_walk.c").exists()
    assert (tmp_path / "build/lib/qualification/wire/bytes.h").exists()
    assert not list(tmp_path.rglob("*.so"))


def test_a_compile_error_fails_a_strict_install_only(install, tmp_path: Path) -> None:
    with (tmp_path / "qualification/lab/softnic/engine.c").open("a") as source:
        source.write("not C;\n")
    for command in ("build_py", "editable_wheel"):
        done = install(command, CC="cc", VXQUAL_STRICT_BUILD="")
        assert done.returncode == 0, done.stderr
        assert f"engine.c is not built for {MACHINE}" in done.stderr
        done = install(command, CC="cc", VXQUAL_STRICT_BUILD="1")
        assert done.returncode != 0
        assert f"engine.c is not built for {MACHINE}" in done.stderr
    assert {path.parent.name for path in tmp_path.glob("qualification/**/*.so")} == {
        "stack", "capture", "traffic",
    }  # fmt: skip

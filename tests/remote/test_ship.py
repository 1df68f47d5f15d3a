"""The zip application: its bytes are the same every time, complete, and run on an older Python."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import qualification
from qualification.agent.capture import native_capture
from qualification.agent.traffic import batch
from qualification.remote.ship import application
from tests.built import built

IMPORT_EACH = """
import importlib, os, sys, zipfile
sys.path.insert(0, sys.argv[1])
names = [name[:-3].replace("/", ".") for name in zipfile.ZipFile(sys.argv[1]).namelist()
         if name.startswith("pyroute2/") and name.endswith(".py")]
import pyroute2  # as importing any part of it does
failed = 0
for name in names:
    # Each first in a process of its own: imports in circles can work in one order only.
    child = os.fork()
    if child == 0:
        importlib.import_module(name.removesuffix(".__init__"))
        os._exit(0)
    failed += os.waitpid(child, 0)[1] != 0
print(len(names), failed)
"""


def _pythons() -> list[str]:
    """This Python, and the oldest that an agent may meet, where there is one."""
    oldest = shutil.which("python3.9")
    # pyenv has a shim of that name whether or not it leads anywhere.
    if (
        oldest
        and not subprocess.run([oldest, "-c", ""], check=False, capture_output=True).returncode
    ):
        return [sys.executable, oldest]
    return [sys.executable]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ship") / "agent.pyz"
    path.write_bytes(application().content)
    return path


def test_its_hash_is_its_version() -> None:
    app = application()
    assert app.sha256 == hashlib.sha256(app.content).hexdigest()
    assert app is application()


def test_it_is_the_same_in_every_process() -> None:
    code = "import sys, random, decimal; from qualification.remote.ship import application"
    for seed in ("1", "2"):
        built = subprocess.run(
            [sys.executable, "-c", code + "; print(application().sha256)"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(qualification.__file__).parents[1],
            check=True,
            capture_output=True,
            text=True,
        )
        assert built.stdout.strip() == application().sha256


def test_it_holds_our_files_as_they_are_and_nothing_of_the_rest() -> None:
    root = Path(qualification.__file__).parent
    with zipfile.ZipFile(io.BytesIO(application().content)) as archive:
        names = archive.namelist()
        assert names == sorted(set(names), key=lambda name: (name.removesuffix("c"), len(name)))
        for folder in ("agent", "messages", "wire"):
            for path in (root / folder).rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    assert archive.read(str(path.relative_to(root.parent))) == path.read_bytes()
        ours = {name.split("/")[1] for name in names if name.startswith("qualification/")}
    assert ours == {"__init__.py", "__init__.pyc", "agent", "messages", "wire"}
    assert not any("__pycache__" in name for name in names)
    assert len(application().content) < 1_500_000


@pytest.mark.parametrize("python", _pythons(), ids=lambda python: Path(python).name)
def test_its_c_is_found_in_it(file: Path, python: str) -> None:
    built(native_capture), built(batch)
    code = """if True:
        import sys
        sys.path.insert(0, sys.argv[1])
        from qualification.agent.capture import native_capture
        from qualification.agent.traffic import batch
        from qualification.wire import native
        for module in (batch, native_capture):
            assert module.__file__.startswith(sys.argv[1]), module
            print(native.native_for(module.__file__).says)
    """
    done = subprocess.run(
        [python, "-I", "-S", "-c", code, str(file)], check=True, capture_output=True, text=True
    )
    assert done.stdout == 2 * f"native C ({os.uname().machine})\n"


@pytest.mark.parametrize("python", _pythons(), ids=lambda python: Path(python).name)
def test_what_is_left_of_pyroute2_holds_together(file: Path, python: str) -> None:
    done = subprocess.run(
        [python, "-I", "-S", "-c", IMPORT_EACH, str(file)],
        check=False,
        capture_output=True,
        text=True,
    )
    count, failed = map(int, done.stdout.split())
    assert count > 100
    assert not failed, done.stderr


def test_pyroute2_offers_its_names_as_ever(file: Path) -> None:
    code = "from pyroute2 import IPRoute, NetNS, config, netns; import pyroute2; pyroute2.nothing"
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(file)!r}); {code}",
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stderr.endswith("AttributeError: nothing\n")


@pytest.mark.parametrize("python", _pythons(), ids=lambda python: Path(python).name)
def test_it_starts_by_hand(file: Path, python: str) -> None:
    done = subprocess.run(
        [python, "-I", "-S", str(file)], check=True, input=b"", capture_output=True
    )
    assert done.stdout.startswith(b'{"vxqual":1,')

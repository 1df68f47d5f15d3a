"""What lies in reports/ and topologies/, and the migrations, are in a checkout and a wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from qualification.shipped import report_file, topology_files

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path.relative_to(ROOT / "reports").as_posix()
    for path in ROOT.glob("reports/**/*")
    if path.is_file()
)
PRINT = "import sys; from qualification.shipped import report_file; " + (
    "[sys.stdout.buffer.write(report_file(name).read_bytes()) for name in sys.argv[1:]]"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the files as they are here, built without a compiler."""
    place = tmp_path_factory.mktemp("wheel")
    git = ("git", "-C", str(ROOT))
    listed = subprocess.run(
        [*git, "ls-files", "-coz", "--exclude-standard"], check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, copy = ROOT / name, place / "source" / name
        if source.is_symlink():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(source.readlink())
        elif source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    environ = {name: value for name, value in os.environ.items() if name != "VXQUAL_STRICT_BUILD"}
    subprocess.run(
        [*build, "--wheel-dir", place, place / "source"],
        env={**environ, "CC": "false"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    return next(place.glob("vxqual-*.whl"))


def test_a_checkout_reads_the_top_folder() -> None:
    assert FILES
    for name in FILES:
        assert report_file(name).read_bytes() == (ROOT / "reports" / name).read_bytes()


def test_a_checkout_has_every_topology() -> None:
    names = {path.name: path.read_bytes() for path in ROOT.glob("topologies/*")}
    assert {name: file.read_bytes() for name, file in topology_files().items()} == names


@pytest.mark.parametrize("unpacked", [False, True], ids=["zip", "installed"])
def test_a_wheel_has_every_file(wheel: Path, tmp_path: Path, *, unpacked: bool) -> None:
    place = wheel
    if unpacked:
        place = tmp_path / "site-packages"
        zipfile.ZipFile(wheel).extractall(place)
    found = subprocess.run(
        [sys.executable, "-S", "-P", "-c", PRINT, *FILES],
        cwd=tmp_path,
        env={"PYTHONPATH": str(place)},
        check=True,
        capture_output=True,
    ).stdout
    assert found == b"".join((ROOT / "reports" / name).read_bytes() for name in FILES)


def test_a_wheel_writes_the_examples(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site-packages")
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "qualification", "init", "lab"],
        cwd=tmp_path / "work",
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site-packages")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("then: vxqual run loopback.yaml\n")
    for path in ROOT.glob("topologies/*"):
        assert (tmp_path / "work" / path.name).read_bytes() == path.read_bytes()


def test_a_wheel_has_the_migrations_of_the_store(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    upgraded = (
        "import sqlalchemy; from qualification.results.index import migrate, tables\n"
        "assert str(migrate.SCRIPTS).startswith(sys.argv[1]), migrate.SCRIPTS\n"
        "with sqlalchemy.create_engine('sqlite://').begin() as connection:\n"
        "    migrate.upgrade(connection)\n"
        "    print(*sorted(sqlalchemy.inspect(connection).get_table_names()))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; {upgraded}", tmp_path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "alembic_version cells handouts matrices nics runs\n"

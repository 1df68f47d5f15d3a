"""Stores with runs in them: SQLite, and a PostgreSQL server of Debian's package."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from qualification.campaign import Campaign
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.results import matrix
from qualification.results.conclusion import RunOutcome
from qualification.results.index.database import Database, url_of
from qualification.results.matrix import Matrix

from ..conftest import ALL_OFF, ALL_ON, TCP, TCP6, built, made

START = "2026-01-02T03:04:05+00:00"
NOISE = "noise, outer L4: the values look random; explains 30 of 30 wrong frames"
CULPRIT = ["tx-udp_tnl-csum-segmentation"]


def fine(pair: str = "x710") -> list[CellRow]:
    return [made(ALL_ON, TCP, frames=7000, pair=pair), made(ALL_OFF, TCP6, frames=7000, pair=pair)]


def failing(pair: str = "x710") -> list[CellRow]:
    bad = made(ALL_ON, TCP, Verdict.FAIL, "wrong", frames=7000, bad=210, pair=pair)
    return [replace(bad, signature=NOISE, culprit=CULPRIT), fine(pair)[1]]


Nights = Callable[..., Matrix]


@pytest.fixture
def night(campaign: Callable[..., Campaign]) -> Nights:
    """`night(3, failing(), firmware="8.30")`: the results of the run of a day."""

    def make(
        day: int,
        cells: Iterable[CellRow] = (),
        firmware: str = "8.30",
        driver: str = "i40e",
        **run: object,
    ) -> Matrix:
        rows = list(cells) or fine()
        bad = any(row.verdict is Verdict.FAIL for row in rows)
        outcome = RunOutcome.NOT_QUALIFIED if bad else RunOutcome.QUALIFIED
        pairs = dict.fromkeys(dict.fromkeys(row.pair for row in rows), (driver, firmware))
        results = built(campaign(**pairs), rows, outcome=outcome)
        at = datetime.fromisoformat(START) + timedelta(days=day)
        about = {"id": f"{at:%Y%m%d-%H%M%S}-000000", "started": at.isoformat(), **run}
        return replace(results, run=replace(results.run, **about))  # type: ignore[arg-type]

    return make


def written(results: Matrix, out: Path) -> Path:
    """The directory of a run with these results."""
    directory = out / results.run.id
    directory.mkdir(parents=True, exist_ok=True)
    matrix.write(results, directory / "matrix.json")
    return directory


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A store that nobody has used yet."""
    found = Database(url_of(tmp_path / "store" / "runs.sqlite"))
    yield found
    found.close()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a real PostgreSQL server, which this starts and stops."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs or shutil.which("runuser") is None or os.geteuid() != 0:
        pytest.skip("needs root and postgresql; scripts/test --postgresql installs it")
    # Nobody but root can enter the directories that pytest makes.
    data = Path(tempfile.mkdtemp(prefix="vxqual-postgresql-"))
    shutil.chown(data, "postgres", "postgres")

    def run(program: str, *args: object) -> None:
        command = ["runuser", "-u", "postgres", "--", programs[-1] / program, *map(str, args)]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL, timeout=120)

    try:
        run("initdb", "-D", data, "-A", "trust", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={data} -c fsync=off"
        run("pg_ctl", "-D", data, "-w", "-l", data / "log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={data}"
        finally:
            run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(data)


@pytest.fixture
def postgresql(server: str) -> Iterator[str]:
    """The URL of an empty database."""
    import sqlalchemy  # noqa: PLC0415

    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("DROP SCHEMA public CASCADE"))
        connection.execute(sqlalchemy.text("CREATE SCHEMA public"))
    engine.dispose()
    yield server

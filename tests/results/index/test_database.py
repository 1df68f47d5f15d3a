"""The store's place, its tables and its migrations, and several writers at once."""

from __future__ import annotations

import multiprocessing
import stat
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from qualification.errors import LabError, UsageError
from qualification.results.index import queries
from qualification.results.index.database import Database, url_of
from qualification.results.index.handouts import handouts
from qualification.results.index.migrate import config, upgrade
from qualification.results.index.tables import CELLS, METADATA, NICS, REVISION, RUNS
from qualification.results.index.writing import index
from qualification.results.matrix import Matrix

from .conftest import Nights, failing, written


@pytest.mark.parametrize(
    ("place", "url"),
    [
        ("out", "sqlite:///out/runs.sqlite"),
        ("lab.sqlite", "sqlite:///lab.sqlite"),
        ("sqlite:////srv/lab.db", "sqlite:////srv/lab.db"),
        ("postgresql+psycopg://lab@db/vxqual", "postgresql+psycopg://lab@db/vxqual"),
    ],
)
def test_a_place_is_a_url_a_file_or_a_directory(place: str, url: str) -> None:
    assert str(url_of(place)) == url


@pytest.mark.parametrize("place", ["nosuch://db/vxqual", "://", "postgresql+nosuch://db/vxqual"])
def test_what_is_no_database_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match=r"next: .*postgresql\+psycopg://"):
        Database(url_of(place))


def test_a_password_is_never_shown() -> None:
    database = Database(url_of("postgresql+psycopg://lab:secret@127.0.0.1:1/vxqual"))
    with pytest.raises(LabError, match="refused") as caught, database.writing():
        pass
    assert "secret" not in str(caught.value)
    assert "lab:***@127.0.0.1:1" in str(caught.value)


def test_nothing_is_made_by_looking(database: Database, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no store"):
        queries.ids(database)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_its_owners_alone(database: Database) -> None:
    with database.writing():
        pass
    assert database.path is not None
    assert stat.S_IMODE(database.path.stat().st_mode) == 0o600


def tables(connection: sqlalchemy.Connection) -> dict[str, Any]:
    """All that a database has, in a form that can be compared."""
    seen = sqlalchemy.inspect(connection)
    return {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in seen.get_columns(name)],
            seen.get_pk_constraint(name)["constrained_columns"],
            sorted(map(str, seen.get_foreign_keys(name))),
            sorted((i["name"], i["column_names"], i["unique"]) for i in seen.get_indexes(name)),
            sorted(u["column_names"] for u in seen.get_unique_constraints(name)),
        )
        for name in sorted(seen.get_table_names())
    }


def test_the_migrations_come_to_what_a_new_store_has(database: Database) -> None:
    with database.writing() as connection:
        made = tables(connection)
    migrated = sqlalchemy.create_engine("sqlite://")
    with migrated.begin() as connection:
        upgrade(connection)
        assert tables(connection) == made
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, METADATA)
        assert [one for one in differences if "ix_cells_failing" not in str(one)] == []
        assert context.get_current_revision() == REVISION
    assert ScriptDirectory.from_config(config()).get_current_head() == REVISION


def test_what_a_newer_vxqual_made_is_left_alone(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UsageError, match=r"a newer vxqual has made this store \(revision 9999"):
        queries.ids(database)
    with pytest.raises(UsageError, match="a newer vxqual"), database.writing():
        pass


def test_a_store_of_an_older_vxqual_is_brought_up_to_date(
    database: Database, night: Nights, tmp_path: Path
) -> None:
    """One of the first migration gets what has come since, by reading too, and keeps its runs."""
    index(database, night(0), written(night(0), tmp_path))
    with database.writing() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE handouts"))
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = '0001'"))
    assert handouts(database) == []
    assert queries.ids(database) == {night(0).run.id}
    with database.reading() as connection:
        found = connection.scalar(sqlalchemy.text("SELECT version_num FROM alembic_version"))
    assert found == REVISION


def test_what_is_no_database_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "runs.sqlite").write_text("this is text, and long enough to be taken for a page\n")
    with pytest.raises(LabError, match="file is not a database"):
        queries.ids(Database(url_of(tmp_path)))


def test_a_failure_leaves_nothing_behind(database: Database, night: Nights, tmp_path: Path) -> None:
    index(database, night(0), written(night(0), tmp_path))

    def fail() -> None:
        with database.writing() as connection:
            connection.execute(sqlalchemy.delete(RUNS))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert len(queries.ids(database)) == 1


# Several writers


def write(place: str, some: list[tuple[Matrix, Path]], start: Barrier) -> None:
    start.wait()
    database = Database(url_of(place))
    for results, directory in some:
        index(database, results, directory)


def at_once(place: str, nights: list[tuple[Matrix, Path]], processes: int) -> None:
    """Has several processes put runs into one store: each its own, and all of them the last one."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(processes)
    *own, shared = nights
    workers = [
        context.Process(target=write, args=(place, [*own[n::processes], shared], start))
        for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0


def counted(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        return {
            table.name: connection.execute(
                sqlalchemy.select(sqlalchemy.func.count()).select_from(table)
            ).scalar_one()
            for table in (RUNS, NICS, CELLS)
        }


def test_four_writers_at_once_lose_nothing_and_write_nothing_twice(
    tmp_path: Path, night: Nights
) -> None:
    """Into a store that none of them finds there."""
    results = [night(day, failing()) for day in range(21)]
    nights = [(one, written(one, tmp_path / "out")) for one in results]
    at_once(str(tmp_path / "runs.sqlite"), nights, 4)
    database = Database(url_of(tmp_path / "runs.sqlite"))
    assert queries.ids(database) == {one.run.id for one in results}
    assert counted(database) == {"runs": 21, "nics": 42, "cells": 42}


@pytest.mark.slow
@pytest.mark.postgresql
def test_four_controllers_at_once_on_postgresql(
    postgresql: str, tmp_path: Path, night: Nights
) -> None:
    results = [night(day, failing()) for day in range(81)]
    nights = [(one, written(one, tmp_path / "out")) for one in results]
    at_once(postgresql, nights, 4)
    database = Database(url_of(postgresql))
    assert queries.ids(database) == {one.run.id for one in results}
    assert counted(database) == {"runs": 81, "nics": 162, "cells": 162}


@pytest.mark.slow
@pytest.mark.postgresql
def test_the_migrations_come_to_what_a_new_store_has_on_postgresql(postgresql: str) -> None:
    database = Database(url_of(postgresql))
    with database.writing() as connection:
        made = tables(connection)
    with sqlalchemy.create_engine(postgresql).begin() as connection:
        connection.execute(sqlalchemy.text("DROP SCHEMA public CASCADE"))
        connection.execute(sqlalchemy.text("CREATE SCHEMA public"))
        upgrade(connection)
        assert tables(connection) == made

"""Opens the store: its place, its schema, and one writer at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from qualification.errors import LabError, UsageError

from .tables import METADATA, REVISION

FILE = "runs.sqlite"
"""Name of the store in a directory of runs."""
_WAIT_SECONDS = 60
_CONNECT_SECONDS = 10
_LOCK = 0x7678_7175
"""Number of PostgreSQL's advisory lock: "vxqu"."""


def url_of(place: str | Path) -> URL:
    """Returns the URL of a store.

    Args:
        place: A URL of SQLAlchemy; a directory of runs, which has its store in `runs.sqlite`; or
            an SQLite file.

    Raises:
        UsageError: It is no URL.
    """
    try:
        if "://" in str(place):
            return make_url(str(place))
    except ArgumentError:
        raise UsageError(
            "is no URL of a database",
            where="--store",
            hint="write postgresql+psycopg://USER@HOST/NAME, or name a directory or a file",
        ) from None
    path = Path(place)
    file = path if path.suffix in (".sqlite", ".db") and not path.is_dir() else path / FILE
    return URL.create("sqlite", database=str(file))


class Database:
    """The store of one place, open.

    Args:
        url: Where it is.

    Raises:
        UsageError: There is no driver for such a URL.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self._sqlite = url.get_backend_name() == "sqlite"
        options = (
            {"timeout": _WAIT_SECONDS}
            if self._sqlite
            else {"connect_timeout": _CONNECT_SECONDS}
            if url.get_backend_name() == "postgresql"
            else {}
        )
        try:
            self._engine: Engine = create_engine(url, connect_args=options)
        except (NoSuchModuleError, ImportError, ArgumentError) as error:
            raise UsageError(
                f"this database cannot be used: {error}",
                where=self.name,
                hint="for PostgreSQL: pip install 'vxqual[postgresql]', and a URL that begins with "
                "postgresql+psycopg://",
            ) from None
        if self._sqlite:
            _begin_at_once(self._engine)

    @property
    def name(self) -> str:
        """The place for people, without a password."""
        if self._sqlite:
            return self.url.database or ":memory:"
        return self.url.render_as_string(hide_password=True)

    @property
    def option(self) -> str:
        """What a command takes to use this store, with a blank before it; empty by default."""
        if self.path is None:
            return f" --store {self.name}"
        place = self.path.parent if self.path.name == FILE else self.path
        return "" if place == Path("out") else f" --store {place}"

    @property
    def path(self) -> Path | None:
        """The file; None for a database that is not SQLite."""
        return Path(self.url.database) if self._sqlite and self.url.database else None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yields a connection to read by.

        Raises:
            UsageError: There is no store.
            LabError: The database fails.
        """
        if self.path is not None and not self.path.exists():
            raise UsageError(
                "there is no store",
                where=self.name,
                hint="vxqual import DIR makes one of runs that there are; a run makes one, too",
            )
        with self._errors():
            with self._engine.connect() as connection:
                revision = _revision(connection)
                if revision == REVISION:
                    yield connection
                    return
            self._refuse_newer(revision)
            with self.writing() as connection:
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yields a connection to write by; what was written is there after the block, or nothing.

        There is one writer at a time, of all processes. A database that is new, or that an older
        vxqual made, gets its tables first.

        Raises:
            LabError: The database fails.
            UsageError: A newer vxqual has made it.
        """
        with self._errors():
            self._make_file()
            engine = self._engine.execution_options(vxqual_writes=True)
            with engine.begin() as connection:
                if not self._sqlite:
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
                self._prepare(connection)
                yield connection

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _make_file(self) -> None:
        if self.path is None or self.path.exists():
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def _prepare(self, connection: Connection) -> None:
        revision = _revision(connection)
        if revision == REVISION:
            return
        self._refuse_newer(revision)
        if revision is None:  # at once, without alembic, whose import takes longer than a run's end
            METADATA.create_all(connection)
            connection.execute(
                text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
            )
            connection.execute(
                text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": REVISION}
            )
            return
        from .migrate import upgrade  # noqa: PLC0415

        upgrade(connection)

    def _refuse_newer(self, revision: str | None) -> None:
        if revision is not None and revision > REVISION:
            raise UsageError(
                f"a newer vxqual has made this store (revision {revision}, and this one knows "
                f"{REVISION})",
                where=self.name,
                hint="use that vxqual, or another store",
            )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError, OverflowError) as error:
            raise LabError(
                f"the store cannot be used: {_first_line(error)}",
                where=self.name,
                hint="see that the database is there and that you may use it; runs are complete "
                "without it, and vxqual import DIR indexes them at any time",
            ) from None


def _begin_at_once(engine: Engine) -> None:
    """Has SQLite take its lock where a transaction begins, so that writers wait for each other.

    Python's module begins a transaction at the first change, and cannot wait then where another
    process has written since the first look (SQLite, "Transactions", BEGIN IMMEDIATE).
    """

    @event.listens_for(engine, "connect")
    def connected(connection: sqlalchemy.engine.interfaces.DBAPIConnection, _: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("vxqual_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _revision(connection: Connection) -> str | None:
    """Returns the newest migration that a database has; None if it has no tables of ours."""
    if not sqlalchemy.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().split("\n")[0] or type(cause).__name__

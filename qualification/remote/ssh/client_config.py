"""Reads OpenSSH's client configuration, ssh_config(5), by paramiko's reader.

paramiko knows `Host`, `Match`, canonical names and tokens. It does not know `Include`: the files
are put in the place of the line here. `Match exec` is refused: paramiko would give the command our
standard input, which a run under pytest does not have.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import paramiko

from qualification.errors import HostError
from qualification.topology.hosts import expanded

USUAL = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))
"""The user's file and the system's; of each setting the first value counts."""

NONE = "none"
"""Stands for no configuration at all, as with `ssh -F none`."""

_MOST_INCLUDES = 16
"""Depth to which files may include files (READCONF_MAX_DEPTH of OpenSSH's readconf.c)."""

_INCLUDE = re.compile(r"\s*include(?:\s*=\s*|\s+)(.+)", re.IGNORECASE)
_EXEC = re.compile(r"\s*match\b.*\bexec\b", re.IGNORECASE)
_BLOCK = re.compile(r"\s*(?:host|match)(?:\s|=)", re.IGNORECASE)

Settings = Mapping[str, str | list[str] | None]
"""The settings for one host by their names in lower case; identityfile is a list."""


def settings(where: str, alias: str, file: str | None, given: Mapping[str, object]) -> Settings:
    """Returns the settings for a host.

    Args:
        where: The host's name in the topology, for errors.
        alias: What `ssh` would be given.
        file: The only file to read, `NONE`, or None for the usual ones.
        given: Settings that count before those of the files, as with `ssh -o`; None is none.

    Raises:
        HostError: A file cannot be read or understood, or others than its owner can write to it.
    """
    config = paramiko.SSHConfig()
    config.parse(f"{name} {value}" for name, value in given.items() if value is not None)
    for path in _files(where, file):
        try:
            config.parse(_lines(where, path))
        except paramiko.ssh_exception.ConfigParseError as error:
            raise _objection(where, path, str(error)) from None
    try:
        found: Settings = dict(config.lookup(alias))
    except (ValueError, KeyError, paramiko.ssh_exception.CouldNotCanonicalize) as error:
        raise HostError(
            f"the SSH configuration for {alias} is wrong: {error}", where=where
        ) from None
    return found


def _files(where: str, file: str | None) -> Iterator[Path]:
    if file == NONE:
        return
    if file is not None:
        path = expanded(file)
        if not path.exists():
            raise HostError(
                f"the SSH configuration {path} does not exist",
                where=where,
                hint="correct the host's `config`, or leave it out for ~/.ssh/config",
            )
        yield path
        return
    for usual in USUAL:
        path = usual.expanduser()
        if path.exists():
            yield path


def _lines(where: str, path: Path, depth: int = 0, within: str = "Host *") -> Iterator[str]:
    """Yields the lines of a file, with those of the files that it includes in their place.

    Args:
        where: The host's name, for errors.
        path: The file.
        depth: How many files included one another down to this one.
        within: The block that the file is included in, which goes on after its last line.
    """
    if depth > _MOST_INCLUDES:
        raise _objection(where, path, "files include one another without end")
    try:
        _check_owner(where, path)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise _objection(where, path, error.strerror or str(error)) from None
    top = within
    for line in lines:
        if _EXEC.match(line):
            raise HostError(
                f"the SSH configuration {path} has `Match exec`, which is not understood",
                where=where,
                hint="name a file without it as the host's `config`; none stands for no file",
            )
        if _BLOCK.match(line):
            if top != "Host *":
                # Its blocks would have to hold together with the one around them.
                raise _objection(where, path, f"has blocks, and is included within {top!r}")
            within = line.strip()
        included = _INCLUDE.match(line)
        if not included:
            yield line
            continue
        for pattern in shlex.split(included[1]):
            for each in _included(pattern):
                yield from _lines(where, each, depth + 1, within)
                yield within


def _included(pattern: str) -> list[Path]:
    """Returns the files that match a pattern, in their order; none is no error, as for ssh."""
    path = expanded(pattern)
    if not path.is_absolute():
        path = Path("~/.ssh").expanduser() / path
    return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def _check_owner(where: str, path: Path) -> None:
    """Refuses a file by which others could have us run a command, as OpenSSH does."""
    found = path.stat()
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise HostError(
            f"the SSH configuration {path} can be written to by others",
            where=where,
            hint=f"chown it to yourself, and chmod go-w {path}",
        )


def _objection(where: str, path: Path, what: str) -> HostError:
    return HostError(f"the SSH configuration {path} cannot be used: {what}", where=where)

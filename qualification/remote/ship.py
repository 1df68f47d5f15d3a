"""The zip application that travels to the hosts: our agent, and the pyroute2 that it needs.

Its bytes follow from the sources and this Python's version alone, so that its hash says what it
is. Sources go in for any Python from 3.9 on. Compiled code goes in beside them, as a host with
the controller's own Python then starts in less than half the time; others pass over it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import marshal
import threading
import zipfile
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path
from typing import NamedTuple

import qualification

_OURS = ("__init__.py", "agent", "messages", "wire")
_UNUSED = (
    "arp.py", "bsd", "conntrack.py", "decoder", "dhcp", "fixtures", "ipdb", "iproute/bsd.py",
    "iproute/darwin.py", "iproute/windows.py", "ipset.py", "ipvs.py", "iwutil.py", "minimal.py",
    "ndb", "netlink/nfnetlink", "netlink/nl80211", "nftables", "plan9", "wirouting", "wiset.py",
)  # fmt: skip
"""Parts of pyroute2 that no agent asks for and no other part needs on Linux: half of it."""
_BUILDING = threading.Lock()
_MAIN = b"from qualification.agent.__main__ import main\n\nmain()\n"


class Application(NamedTuple):
    """A zip application.

    Attributes:
        content: Its bytes.
        sha256: Their hash in hex, which is the agent's version.
    """

    content: bytes
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Application:
        """An application of these bytes."""
        return cls(content, hashlib.sha256(content).hexdigest())


def application() -> Application:
    """The agent as it is in this installation; built once per process, in a third of a second."""
    with _BUILDING:
        return _build()


@cache
def _build() -> Application:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(_files()):
            _add(archive, name, content)
            if name.endswith(".py"):
                _add(archive, name + "c", _compiled(name, content))
    return Application.of(buffer.getvalue())


def _files() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", _MAIN
    ours = Path(qualification.__file__).parent
    for part in _OURS:
        yield from _tree(ours / part, ours.parent)
    spec = importlib.util.find_spec("pyroute2")
    assert spec is not None and spec.origin is not None, "pyroute2 is a dependency of ours"
    theirs = Path(spec.origin).parent
    unused = {theirs / part for part in _UNUSED}
    for name, content in _tree(theirs, theirs.parent, unused):
        yield name, _lazy(content) if name == "pyroute2/__init__.py" else content


def _tree(path: Path, root: Path, without: Set[Path] = frozenset()) -> Iterator[tuple[str, bytes]]:
    """A file, or all files under a folder, except what Python compiled."""
    if path in without or path.name == "__pycache__":
        return
    if path.is_dir():
        for part in path.iterdir():
            yield from _tree(part, root, without)
    else:
        yield path.relative_to(root).as_posix(), path.read_bytes()


def _lazy(source: bytes) -> bytes:
    """A package's `__init__` that imports a name's module only when the name is asked for.

    pyroute2 imports all of itself for any part of itself, which takes longer than all the rest
    of an agent's start.
    """
    names = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return f"""from importlib import import_module

_NAMES = {names!r}


def __getattr__(name):
    if name not in _NAMES:
        raise AttributeError(name)
    module, attribute = _NAMES[name]
    return getattr(import_module(module), attribute)


# Its modules import each other in circles, and those are made to be entered here.
import pyroute2.iproute
""".encode()


def _compiled(name: str, source: bytes) -> bytes:
    """Compiled code as a .pyc that is never compared with its source (PEP 552)."""
    code = compile(source, name, "exec", dont_inherit=True)
    # Version 2 of marshal knows no references; those of later versions differ between runs.
    return (
        importlib.util.MAGIC_NUMBER
        + (0b01).to_bytes(4, "little")
        + importlib.util.source_hash(source)
        + marshal.dumps(code, 2)
    )


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name)  # dated 1980 by default, as all are that have no date
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o100644 << 16
    archive.writestr(info, content)

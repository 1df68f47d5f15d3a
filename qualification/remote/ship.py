"""Builds the zip application that is sent to the hosts: the agent, and the pyroute2 it needs.

The sources and the version of this Python determine its bytes, so that its hash identifies it. It
contains sources for any Python from 3.9 on. It also contains compiled code, with which a host that
has the controller's own version of Python starts in less than half the time; other versions ignore
it.
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
"""Parts of pyroute2 that neither the agent nor another part needs on Linux: half of pyroute2."""
_BUILDING = threading.Lock()
_MAIN = b"from qualification.agent.__main__ import main\n\nmain()\n"


class Application(NamedTuple):
    """A zip application.

    Attributes:
        content: Its bytes.
        sha256: The hash of the bytes in hex, which serves as the agent's version.
    """

    content: bytes
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Application:
        """Returns the application that consists of some bytes."""
        return cls(content, hashlib.sha256(content).hexdigest())


def application() -> Application:
    """Returns this installation's agent; builds it once per process, in a third of a second."""
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
    """Yields a file, or all files under a folder, except those that Python compiled."""
    if path in without or path.name == "__pycache__":
        return
    if path.is_dir():
        for part in path.iterdir():
            yield from _tree(part, root, without)
    else:
        yield path.relative_to(root).as_posix(), path.read_bytes()


def _lazy(source: bytes) -> bytes:
    """Returns a package's `__init__` that imports the module of a name when the name is first used.

    pyroute2 imports all its parts whenever one of them is imported, which takes longer than the
    rest of an agent's start.
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


# The modules of pyroute2 import each other in circles that work only if they are entered here.
import pyroute2.iproute
""".encode()


def _compiled(name: str, source: bytes) -> bytes:
    """Returns compiled code as an unchecked .pyc, never compared with its source (PEP 552)."""
    code = compile(source, name, "exec", dont_inherit=True)
    # Version 2 of marshal has no references, which differ between runs in later versions.
    return (
        importlib.util.MAGIC_NUMBER
        + (0b01).to_bytes(4, "little")
        + importlib.util.source_hash(source)
        + marshal.dumps(code, 2)
    )


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name)  # dated 1980 by default, whatever the time is
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o100644 << 16
    archive.writestr(info, content)

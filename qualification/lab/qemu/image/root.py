"""The guests' root file system: Debian with an SSH server, Python and what configures networks."""

from __future__ import annotations

import tempfile
from pathlib import Path

from qualification.progress import Progress

from . import packages, store
from .kernel import make_disk

_PACKAGES = ("ethtool", "iproute2", "kmod", "mount", "openssh-server", "python3")
_LEFT_OUT = ("doc", "info", "lintian", "locale", "man")


def debian(suite: str, say: Progress) -> Path:
    """Returns a read-only root file system of a release of Debian.

    Args:
        suite: The release, such as "bookworm".
        say: Told what takes time.

    Raises:
        LabError: It cannot be made.
    """

    def make(into: Path) -> None:
        say(f"root file system: installing Debian {suite} with {', '.join(_PACKAGES)}")
        with tempfile.TemporaryDirectory(dir=into) as scratch:
            sources, tree = Path(scratch, "sources.list"), Path(scratch, "tree")
            sources.write_text(packages.sources_of((suite,)))
            packages.ran(
                "mmdebstrap", "--quiet", "--mode=root", "--format=directory",
                "--variant=essential", f"--include={','.join(_PACKAGES)}",
                *(f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in _LEFT_OUT),
                '--aptopt=APT::Install-Recommends "false"',
                suite, str(tree), str(sources),
            )  # fmt: skip
            # What the machine's archive is called is for the machine alone.
            for listed in (tree / "etc/apt").glob("sources.list*"):
                if listed.is_file():
                    listed.write_text("")
            for key in (tree / "etc/ssh").glob("ssh_host_*"):
                key.unlink()  # each guest gets one of its own
            say("root file system: writing it")
            make_disk(tree, into / "root.img")

    recipe = {"suite": suite, "packages": _PACKAGES, "without": _LEFT_OUT, "format": 1}
    return store.kept("root", recipe, make) / "root.img"

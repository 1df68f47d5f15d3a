"""Debian packages of any suite, downloaded and unpacked without being installed.

apt is given lists and a cache of its own, so the machine's apt sees nothing of it. The archive is
the one that this machine's apt uses for Debian, asked for by `apt-get indextargets`: proxies,
mirrors and keys are those of the machine. See apt-get(8) and apt.conf(5).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from qualification.errors import LabError

_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SECURITY = "-security"
_KERNEL_PACKAGE = r"linux-(?:base|binary|image|modules)-\d[^ ,]*"


class Archive:
    """One or more suites of Debian, with apt's lists of them.

    Args:
        suites: Their names, such as "bookworm" and "bookworm-backports".
        scratch: A directory for apt's lists and downloads; who gives it removes it.

    Raises:
        LabError: This machine has no apt, its apt has no Debian archive, or a suite is not in it.
    """

    def __init__(self, suites: Sequence[str], scratch: Path) -> None:
        for each in ("lists/partial", "cache/archives/partial"):
            (scratch / each).mkdir(parents=True, exist_ok=True)
        self._scratch = scratch
        sources = scratch / "sources.list"
        sources.write_text(sources_of(suites))
        self._options = [
            f"Dir::Etc::SourceList={sources}",
            "Dir::Etc::SourceParts=-",
            f"Dir::State::Lists={scratch / 'lists'}",
            f"Dir::Cache={scratch / 'cache'}",
            "APT::Sandbox::User=root",  # the directory is ours alone
            "APT::Install-Recommends=false",
            "Acquire::Languages=none",
            "Debug::NoLocking=true",
        ]
        self._get("update", "--error-on=any")

    def kernel(self, suite: str) -> list[str]:
        """Lists the packages that hold the kernel of `linux-image-amd64` in a suite.

        It is one package, or from Linux 7 on one for the kernel, one for its modules and one for
        what both share.

        Raises:
            LabError: The suite has no such package.
        """
        found: dict[str, None] = {}
        waiting = ["linux-image-amd64"]
        while waiting:
            words = ("show", "--no-all-versions", waiting.pop())
            shown = self._apt("apt-cache", *_preferring(suite), *words)
            needs = " ".join(re.findall(r"^Depends: (.*)$", shown, re.MULTILINE))
            new = [name for name in re.findall(_KERNEL_PACKAGE, needs) if name not in found]
            found |= dict.fromkeys(new)
            waiting += new
        return list(found)

    def fetch(self, *names: str) -> list[Path]:
        """Downloads packages alone, without anything that they depend on."""
        before = set(self._scratch.glob("*.deb"))
        self._apt("apt-get", "download", "-q", *names, directory=self._scratch)
        return sorted(set(self._scratch.glob("*.deb")) - before)

    def download(self, names: Iterable[str], suite: str) -> list[Path]:
        """Downloads packages and those of their dependencies that this machine lacks.

        Args:
            names: The packages.
            suite: Where they are preferred from.
        """
        self._install("--download-only", suite, names)
        return sorted((self._scratch / "cache/archives").glob("*.deb"))

    def versions(self, names: Iterable[str], suite: str) -> list[str]:
        """Lists the packages that `download` would get, with their versions and hashes."""
        said = self._install("--print-uris", suite, names)
        return sorted(line.split(" ", 1)[1] for line in said.splitlines() if line.startswith("'"))

    def _install(self, how: str, suite: str, names: Iterable[str]) -> str:
        return self._get("install", how, "--reinstall", "-y", "-qq", *_preferring(suite), *names)

    def _get(self, *words: str) -> str:
        return self._apt("apt-get", *words)

    def _apt(self, program: str, *words: str, directory: Path | None = None) -> str:
        options = [word for option in self._options for word in ("-o", option)]
        return ran(program, *options, *words, directory=directory)


def _preferring(suite: str) -> list[str]:
    """Give apt's option for a suite that must be asked for.

    A release is not asked for: it would be preferred to its own security updates.
    """
    return ["-t", suite] if "-" in suite else []


def unpack(packages: Iterable[Path], into: Path) -> None:
    """Unpacks packages over each other, as dpkg would, without running any of their scripts."""
    into.mkdir(parents=True, exist_ok=True)
    for package in packages:
        ran("dpkg-deb", "-x", str(package), str(into))


def sources_of(suites: Sequence[str]) -> str:
    """Writes a sources.list of suites, and of the security updates of those that have any.

    Raises:
        LabError: This machine's apt has no Debian archive.
    """
    archives: dict[bool, str] = {}
    form = "$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)"
    for line in ran("apt-get", "indextargets", "--format", form, "Created-By: Packages").split(
        "\n"
    ):
        match line.split(" "):
            case ["Debian", "main", codename, uri]:
                archives.setdefault(codename.endswith(_SECURITY), uri)
    if False not in archives:
        raise LabError(
            "this machine's apt knows no Debian archive to get QEMU and kernels from",
            hint="run `apt-get update`, or name your own with lab.qemu, lab.kernel and lab.modules",
        )
    lines = [f"deb [signed-by={_KEYS}] {archives[False]} {suite} main" for suite in suites]
    if True in archives:
        lines += [
            f"deb [signed-by={_KEYS}] {archives[True]} {suite}{_SECURITY} main"
            for suite in suites
            if "-" not in suite and suite != "sid"
        ]
    return "\n".join(lines) + "\n"


def codename() -> str:
    """Names the release of Debian that this machine runs, from os-release(5).

    Raises:
        LabError: It does not run Debian.
    """
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if fields.get("ID") != "debian" or "VERSION_CODENAME" not in fields:
        raise LabError(
            "this machine does not run Debian, whose packages the guests are made of",
            hint="name a release with lab.suite",
        )
    return fields["VERSION_CODENAME"].strip('"')


def ran(program: str, *words: str, directory: Path | None = None) -> str:
    """Runs a program that must succeed and give what it wrote to standard output.

    Args:
        program: Its name.
        *words: Its arguments.
        directory: Where it runs, if not here.

    Raises:
        LabError: It is not there, or failed; carries the end of what it said.
    """
    if not shutil.which(program):
        raise LabError(f"there is no `{program}`", hint=f"install {PACKAGES.get(program, program)}")
    done = subprocess.run(
        [program, *words], cwd=directory, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise LabError(f"`{program}` failed: {said or f'exit code {done.returncode}'}")
    return done.stdout


PACKAGES = {
    "apt-get": "apt",
    "busybox": "the package busybox-static",
    "depmod": "the package kmod",
    "mke2fs": "the package e2fsprogs",
    "mmdebstrap": "the package mmdebstrap",
    "setpriv": "the package util-linux",
}
"""Where Debian has the programs that are used here."""

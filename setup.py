"""Builds the C files, which pyproject.toml cannot describe. Everything else is in pyproject.toml.

Each C file becomes one shared object per machine in the same folder, `NAME-MACHINE.so`. It is
freestanding, and so loads into any Python on that machine. For this machine any C compiler works.
If ziglang is installed, it builds for all of `MACHINES`; scripts/wheel makes a release in that way.
Without a compiler nothing is built, and Python does the work. The same happens if the compiler
fails, unless the environment variable `STRICT` is set, as scripts/setup --dev does for developers.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = Path("qualification")
SOURCES = [
    PACKAGE / "stack/native_walk.c",
    PACKAGE / "agent/capture/native_capture.c",
    PACKAGE / "agent/traffic/batch.c",
    PACKAGE / "lab/softnic/engine.c",
]
MACHINES = ("x86_64", "aarch64")
FLAGS = [
    "-std=gnu11", "-O3", "-Wall", "-Wextra", f"-I{PACKAGE}",
    "-ffreestanding", "-nostdlib", "-shared", "-fPIC", "-fvisibility=hidden",
    "-Wl,-z,defs", "-Wl,-s",
]  # fmt: skip
STRICT = "VXQUAL_STRICT_BUILD"
"""Environment variable: if set, a C file that the compiler cannot build is an error."""


def compilers() -> dict[str, list[str]]:
    """Returns the command that compiles for each machine."""
    if importlib.util.find_spec("ziglang"):
        zig = [sys.executable, "-m", "ziglang", "cc"]
        return {machine: [*zig, f"--target={machine}-linux-musl"] for machine in MACHINES}
    command = shlex.split(os.environ.get("CC", "cc"))
    return {os.uname().machine: command} if shutil.which(command[0]) else {}


def fingerprint(source: Path) -> int:
    """Returns the fingerprint by which the loader recognises a source."""
    spec = importlib.util.spec_from_file_location("native", PACKAGE / "wire/native.py")
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    return loader.fingerprint(str(source))


def compile_beside(source: Path, machine: str, compiler: list[str]) -> None:
    """Compiles a C file; if that fails, warns, or with `STRICT` exits."""
    target = source.with_name(f"{source.stem}-{machine}.so")
    new = target.with_suffix(".new")
    define = f"-DVX_SOURCE={fingerprint(source)}u"
    try:
        subprocess.run([*compiler, *FLAGS, define, "-o", str(new), str(source)], check=True)
        new.replace(target)  # a running process keeps the file that it has mapped
    except (OSError, subprocess.CalledProcessError) as error:
        message = f"{source} is not built for {machine}: {error}"
        if os.environ.get(STRICT):
            sys.exit(message)  # an editable install ignores any Exception of this hook
        warnings.warn(message, stacklevel=2)


class BuildPy(build_py):
    """Compiles the C files before the files of the package are collected."""

    def run(self) -> None:
        """Compiles, then collects the files."""
        found = compilers()
        if not found:
            warnings.warn("no C compiler found: vxqual works without it, but slower", stacklevel=2)
        for source in SOURCES:
            for machine, compiler in found.items():
                compile_beside(source, machine, compiler)
        self.__dict__.pop("data_files", None)  # it may have been computed before they were built
        super().run()


setup(cmdclass={"build_py": BuildPy})

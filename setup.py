"""Builds what is in C, for pyproject.toml has no words for it. All else stands there.

Each C file becomes one shared object per machine beside it, `NAME-MACHINE.so`, freestanding and
so at home in any Python there. For this machine any C compiler does. Where ziglang is installed
it builds for every machine of `MACHINES`; that is how scripts/wheel makes a release. Without a
compiler nothing is built, and Python does the work; so it does if the compiler fails, unless
`STRICT` is set, as whoever works on vxqual has it (scripts/setup --dev).
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
    PACKAGE / "wire/native_survey.c",
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
"""Environment variable: where there is a compiler, what it cannot build is an error."""


def compilers() -> dict[str, list[str]]:
    """Machine to the command that compiles for it."""
    if importlib.util.find_spec("ziglang"):
        zig = [sys.executable, "-m", "ziglang", "cc"]
        return {machine: [*zig, f"--target={machine}-linux-musl"] for machine in MACHINES}
    command = shlex.split(os.environ.get("CC", "cc"))
    return {os.uname().machine: command} if shutil.which(command[0]) else {}


def fingerprint(source: Path) -> int:
    """What the loader knows a source by."""
    spec = importlib.util.spec_from_file_location("native", PACKAGE / "wire/native.py")
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    return loader.fingerprint(str(source))


def compile_beside(source: Path, machine: str, compiler: list[str]) -> None:
    """Compile a C file; where that fails warn and go on, or stop."""
    target = source.with_name(f"{source.stem}-{machine}.so")
    new = target.with_suffix(".new")
    define = f"-DVX_SOURCE={fingerprint(source)}u"
    try:
        subprocess.run([*compiler, *FLAGS, define, "-o", str(new), str(source)], check=True)
        new.replace(target)  # a process that runs keeps the one it has mapped
    except (OSError, subprocess.CalledProcessError) as error:
        said = f"{source} is not built for {machine}: {error}"
        if os.environ.get(STRICT):
            sys.exit(said)  # an editable install passes over any Exception of this hook
        warnings.warn(said, stacklevel=2)


class BuildPy(build_py):
    """Compiles before the files of the package are gathered."""

    def run(self) -> None:
        """Compile, then do what it always does."""
        found = compilers()
        if not found:
            warnings.warn("there is no C compiler: vxqual works without, slower", stacklevel=2)
        for source in SOURCES:
            for machine, compiler in found.items():
                compile_beside(source, machine, compiler)
        self.__dict__.pop("data_files", None)  # it may have looked before they were there
        super().run()


setup(cmdclass={"build_py": BuildPy})

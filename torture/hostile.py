"""Input from somebody who means harm, at length, by the tests of it (marked `hostile`)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .trial import Setting, Trial

_ROOT = Path(__file__).resolve().parents[1]
_LAST_LINES = 40


def hostile(setting: Setting) -> Iterator[Trial]:
    """Runs the tests of malicious agents, of invented input and of markup, with many examples."""
    tests = sorted(_ROOT.glob("tests/**/test_*.py"))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-m", "hostile", "-p", "no:cacheprovider"),
            f"--numprocesses={os.cpu_count()}",
            *(str(path) for path in tests if "pytest.mark.hostile" in path.read_text()),
        ],
        cwd=_ROOT,
        env=os.environ | {"VXQUAL_EXAMPLES": str(setting.examples)},
        capture_output=True,
        text=True,
        check=False,
    )
    counted = re.search(r"(\d+) passed", done.stdout)
    passed = int(counted[1]) if counted else 0
    failed = done.returncode != 0 or not passed
    end = "\n".join(done.stdout.splitlines()[-_LAST_LINES:])
    what = f"{passed} tests of hostile input, {setting.examples:,} examples of each that invents it"
    yield Trial(what, (end,) if failed else ())

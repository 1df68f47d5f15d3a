"""scripts/setup where nothing is missing: every other script calls it first."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SETUP = Path(__file__, "../../scripts/setup").resolve()
LIBRARIES = """#!/bin/sh
echo '\tlibpangoft2-1.0.so.0 (libc6,x86-64) => /usr/lib/libpangoft2-1.0.so.0'
exec yes 'and as many more as no pipe holds' | head -n 100000
"""


def test_a_library_is_found_early_in_a_long_list(tmp_path: Path) -> None:
    """What ldconfig still had to say was once lost with the pipe, and so was what it had said."""
    for name, text in (("ldconfig", LIBRARIES), ("apt-get", "#!/bin/sh\nexit 1\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        [SETUP, "--dev"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert "installing" not in done.stderr

"""What the controller runs on: with the version of vxqual, this says what made a result."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from qualification.campaign import ControllerVersions

_ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 10


def controller_versions() -> ControllerVersions:
    """Returns the versions of what this process runs on."""
    return ControllerVersions(commit_of(_ROOT), platform.python_version(), platform.release())


def commit_of(root: Path) -> str | None:
    """Returns the git commit of a checkout, with "-dirty" if tracked files have changed.

    Args:
        root: The directory that the package is in. It is a checkout only if it has `.git` itself:
            an environment of somebody's may lie in another checkout.

    Returns:
        None where there is no checkout, or no git that can read it.
    """
    if not (root / ".git").exists():
        return None
    # A checkout may belong to another user than root, and git refuses that without being told.
    command = ["git", "-c", "safe.directory=*", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(
            [*command, "--exclude=*", "--abbrev=12"],
            capture_output=True, text=True, check=True, timeout=_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None

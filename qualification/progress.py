"""How a lab, a discovery or a run says what it is doing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], object]
"""Takes one line of text for people; the result is ignored."""

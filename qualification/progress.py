"""The type of the functions that labs, discovery and runs report their progress to."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], object]
"""A function that takes one line of text for people; its result is ignored."""

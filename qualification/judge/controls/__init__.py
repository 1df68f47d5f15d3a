"""Judges controls: runs that must come out one way before cells may pass or fail. Pure."""

from .crafted import crafted_blocked, judge_crafted, no_tags
from .injected import judge_injected
from .received import judge_received_control, not_received
from .reference import pace_of, reference_of
from .result import ControlResult
from .traffic import blocked, judge_traffic
from .trust import ALL_OFF_CELL, combined, distrusted, first_untrusted, judge_again

__all__ = [
    "ALL_OFF_CELL", "ControlResult", "blocked", "combined", "crafted_blocked", "distrusted",
    "first_untrusted", "judge_again",
    "judge_crafted", "judge_injected", "judge_received_control", "judge_traffic", "no_tags",
    "not_received", "pace_of", "reference_of",
]  # fmt: skip

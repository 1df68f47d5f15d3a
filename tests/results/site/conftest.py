"""What tests of the site share with those of bundles: a stored run with evidence."""

from __future__ import annotations

from tests.results.bundle.conftest import stored

__all__ = ["stored"]

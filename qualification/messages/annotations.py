"""Evaluates the annotations of messages, on Python 3.9 as well.

Annotations are strings (PEP 563), and Python 3.9 cannot evaluate the "int | None" in them. They are
therefore evaluated with names that refer to a `_Term`, which has the operator on every Python.
`typing.Optional` in the messages would need no evaluator, but would spell one type in two ways
within the package.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Union


class _Term:
    """A type in an annotation that is evaluated. It has `|`, which Python 3.9's types have not."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def __or__(self, other: Any) -> _Term:
        return _Term(Union[self.what, _plain(other)])  # noqa: UP007  (Python 3.9)

    __ror__ = __or__

    def __getitem__(self, of: Any) -> _Term:
        inside = tuple(map(_plain, of)) if isinstance(of, tuple) else _plain(of)
        return _Term(self.what[inside])


def _plain(term: Any) -> Any:
    return term.what if isinstance(term, _Term) else term


class _Names:
    """The names that annotations may use: those of their module, and the built-in ones."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names

    def __getitem__(self, name: str) -> _Term:
        return _Term(self._names[name] if name in self._names else getattr(builtins, name))


def type_of(annotation: Any, names: Mapping[str, Any]) -> Any:
    """Returns the type that an annotation means.

    Args:
        annotation: A string, or a type already.
        names: The names of the module that has the annotation.
    """
    if not isinstance(annotation, str):
        return annotation
    scope: Any = _Names(names)
    # What is evaluated is the package's own source, as in typing.get_type_hints.
    return _plain(eval(annotation, {"__builtins__": {}}, scope))  # noqa: S307  (our own)

"""Parses YAML into plain data, with the place of every key and environment variables substituted.

It uses ruamel's node tree instead of its constructed data: the nodes know their places, contain
duplicate keys instead of failing at the first one, and are never converted to dates or other types
that no form has.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from qualification.errors import UsageError

from .environment import substitute
from .values import CONTROLS
from .wording import Loc, key_path

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

_TAG = "tag:yaml.org,2002:"
_HIDDEN = re.compile(rf"(?![\n\t])[{CONTROLS}\ud800-\udfff]")
_MOST_DEPTH = 32
"""Lists and mappings inside each other; a topology has six."""
_MOST_VALUES = 100_000
"""Values of a file, each counted as often as aliases repeat it."""


@dataclass(frozen=True)
class FileProblem:
    """One problem of a file; line and column count from 1."""

    line: int
    column: int
    loc: Loc
    what: str
    hint: str | None = None

    def text(self) -> str:
        """Returns what is wrong, after the key path."""
        return f"{key_path(self.loc)}: {self.what}" if self.loc else self.what


class Document:
    """A YAML file: its data, the problems found so far, and the place of every key and value.

    Args:
        text: The file's text.
        name: The name of the file in error messages.
        environ: The environment variables that ``${NAME}`` may name; None leaves texts as they are.
        begin_from: Name of a file to start from; the hint for an empty file.

    Attributes:
        data: The content as dicts, lists and scalars; ``${NAME}`` is replaced.
        problems: Problems found while reading: duplicate keys, undefined variables and the like.

    Raises:
        UsageError: The text is not YAML, or it is empty.
    """

    def __init__(
        self, text: str, name: str, environ: Mapping[str, str] | None, begin_from: str
    ) -> None:
        self.problems: list[FileProblem] = []
        self._environ = environ
        self._built: dict[int, Any] = {}
        self._sizes: dict[int, int] = {}
        self._name = name
        self._root = _compose(text, name, begin_from)
        self.data = self._plain(self._root, ())

    def place(self, loc: Loc, *, of_key: bool = False) -> tuple[int, int]:
        """Returns the line and column of a value.

        Args:
            loc: The key path. If the file does not have all of it, the place is that of the last
                part that it has.
            of_key: Return the place of the key instead of the value's.
        """
        node = self._root
        mark = node.start_mark
        for part in loc:
            child = _child(node, part)
            if child is None:
                break
            key, node = child
            # An empty value after a key has no place of its own.
            mark = key.start_mark if of_key or node.value == "" else node.start_mark
        return mark.line + 1, mark.column + 1

    def _object(self, node: Node, loc: Loc, what: str, hint: str | None = None) -> None:
        mark = node.start_mark
        self.problems.append(FileProblem(mark.line + 1, mark.column + 1, loc, what, hint))

    def _plain(self, node: Node, loc: Loc) -> Any:
        # An anchored node is built once, no matter how many aliases refer to it. Otherwise a short
        # file could take more memory than there is; and it is counted as often as it is reached,
        # or whoever walks the data would take for ever.
        key = id(node)
        if key not in self._built:
            self._built[key], self._sizes[key] = None, 1
            self._built[key] = self._build(node, loc)
            self._sizes[key] = 1 + sum(self._sizes.get(id(inside), 0) for inside in _inside(node))
            if self._sizes[key] > _MOST_VALUES:
                raise UsageError(
                    f"has more than {_MOST_VALUES} values, counted as often as aliases repeat them",
                    where=self._at(node),
                    hint="write a file for each lab, or fewer aliases (*NAME)",
                )
        return self._built[key]

    def _at(self, node: Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"

    def _build(self, node: Node, loc: Loc) -> Any:
        kind = str(node.tag).removeprefix(_TAG)
        if not isinstance(node.value, list):
            return self._scalar(node, kind, loc)
        if kind == "map":
            return self._mapping(node, loc)
        if kind == "seq":
            return [self._plain(item, (*loc, i)) for i, item in enumerate(node.value)]
        self._object(node, loc, f"the tag {node.tag} has no meaning here", "remove it")
        return None

    def _mapping(self, node: Node, loc: Loc) -> dict[str, Any]:
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            # Keys are names, so they stay as they are written: a host may be called 1, or no.
            name = key.value
            if not isinstance(name, str):
                self._object(key, loc, "a key must be plain text")
            elif name in data:
                hint = "keep one of the two"
                first = f"line {lines[name]} has it already"
                self._object(key, (*loc, name), f"duplicate key '{name}'; {first}", hint)
            elif not self._refuse_controls(key, loc):
                lines[name] = key.start_mark.line + 1
                data[name] = self._plain(value, (*loc, name))
        return data

    def _refuse_controls(self, node: Node, loc: Loc) -> bool:
        """Refuses what escapes of YAML can bring in: names and texts are shown to people."""
        found = _HIDDEN.search(node.value)
        if found:
            what = f"the character U+{ord(found[0]):04X} is not allowed here"
            self._object(node, loc, what, "remove it")
        return found is not None

    def _scalar(self, node: Node, kind: str, loc: Loc) -> Any:
        text: str = node.value
        self._refuse_controls(node, loc)
        match kind:
            case "null":
                return None
            case "bool":
                # A "%YAML 1.1" at the top makes yes and no booleans; here they stay words.
                return {"true": True, "false": False}.get(text.lower(), text)
            case "int" | "float":
                return _number(text, int if kind == "int" else float)
            case "str" | "timestamp" | "value" | "merge":
                if self._environ is None:
                    return text
                return substitute(text, self._environ, partial(self._object, node, loc))
        self._object(node, loc, f"the tag {node.tag} has no meaning here", "remove it")
        return text


def _compose(text: str, name: str, begin_from: str) -> Node:
    """Returns the node tree of the only document in a text.

    Raises:
        UsageError: The text is not YAML, it is empty, or it has several documents.
    """
    from ruamel.yaml import YAML  # noqa: PLC0415  (needed only where a file is read)
    from ruamel.yaml.composer import MaxDepthExceededError  # noqa: PLC0415
    from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError  # noqa: PLC0415
    from ruamel.yaml.reader import ReaderError  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            yaml = YAML(typ="safe", pure=True)
            yaml.max_depth = _MOST_DEPTH
            root: Node | None = yaml.compose(text)
    except MaxDepthExceededError as error:
        mark = error.problem_mark
        raise UsageError(
            f"nested too deeply: more than {_MOST_DEPTH} lists and mappings inside each other",
            where=f"{name}:{mark.line + 1}:{mark.column + 1}",
        ) from None
    except ReaderError as error:
        before = text[: error.position]
        place = f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        what = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"
        raise UsageError(what, where=place, hint="remove it") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        details = ", ".join(part for part in (error.context, error.problem) if part)
        raise UsageError(
            f"malformed YAML: {details}",
            where=f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name,
            hint=_yaml_hint(text, mark.line if mark else 0),
        ) from None
    except YAMLError as error:
        raise UsageError(f"malformed YAML: {error}", where=name) from None
    if root is None or (str(root.tag) == f"{_TAG}null"):
        raise UsageError("the file is empty", where=name, hint=f"begin from {begin_from}")
    return root


def _yaml_hint(text: str, line: int) -> str:
    written = text.splitlines()[line : line + 1]
    if written and "${" in written[0]:
        return 'between { } or [ ], quote a variable: "${NAME}"'
    if written and "\t" in written[0]:
        return "indent with spaces, not with tabs"
    return "look at the indentation, quotes, colons and brackets here and just above"


def _child(node: Node, part: str | int) -> tuple[Node, Node] | None:
    """Returns the key node and the value node of one part of a key path.

    An item of a list is returned as both.
    """
    if isinstance(node.value, list):
        for i, item in enumerate(node.value):
            key, value = item if isinstance(item, tuple) else (item, item)
            if part == (key.value if isinstance(item, tuple) else i):
                return key, value
    return None


def _inside(node: Node) -> Iterator[Node]:
    """Yields the values in a list or mapping that were built."""
    if isinstance(node.value, list):
        for item in node.value:
            yield item[1] if isinstance(item, tuple) else item


def _number(text: str, kind: type[int] | type[float]) -> int | float | str:
    """Returns the number.

    A text comes back as it is if only YAML takes it for a number, or if it is very long.
    """
    if len(text) > 60:
        return text
    try:
        if kind is float:
            return float(text)
        # Base 0 reads 0x1f and 0o17, but in YAML 1.2 a number with a leading zero is decimal.
        return int(text, 10 if text.lstrip("+-").isdecimal() else 0)
    except ValueError:
        return text

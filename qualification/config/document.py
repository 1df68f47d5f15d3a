"""YAML read into plain data, with the place of every key and the environment put in.

The node tree is used rather than ruamel's constructed data: it knows every place, shows
duplicate keys instead of dying at the first, and builds no dates or other surprises.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from qualification.errors import UsageError

from .environment import substitute
from .wording import Loc, key_path

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class FileProblem:
    """One thing wrong with a file; line and column count from 1."""

    line: int
    column: int
    loc: Loc
    what: str
    hint: str | None = None

    def text(self) -> str:
        """What is wrong, led by the key path."""
        return f"{key_path(self.loc)}: {self.what}" if self.loc else self.what


class Document:
    """A YAML file: its data, what is wrong with it so far, and where everything stands.

    Args:
        text: The file's text.
        name: How to call the file in errors.
        environ: The environment variables that ``${NAME}`` may name; None leaves texts as they are.
        begin_from: Which file to begin from, for one that is empty.

    Attributes:
        data: The content, as dicts, lists and scalars; ``${NAME}`` is replaced.
        problems: What is wrong already: duplicate keys, undefined variables and their like.

    Raises:
        UsageError: The text is no YAML, or empty.
    """

    def __init__(
        self, text: str, name: str, environ: Mapping[str, str] | None, begin_from: str
    ) -> None:
        self.problems: list[FileProblem] = []
        self._environ = environ
        self._built: dict[int, Any] = {}
        self._root = _compose(text, name, begin_from)
        try:
            self.data = self._plain(self._root, ())
        except RecursionError:
            raise UsageError("nested too deeply", where=name) from None

    def place(self, loc: Loc, *, of_key: bool = False) -> tuple[int, int]:
        """The line and column of a value, or of its key; of the last part there is, if not all."""
        node = self._root
        mark = node.start_mark
        for part in loc:
            child = _child(node, part)
            if child is None:
                break
            key, node = child
            # Nothing written after a key leaves a value with no place of its own.
            mark = key.start_mark if of_key or node.value == "" else node.start_mark
        return mark.line + 1, mark.column + 1

    def _object(self, node: Node, loc: Loc, what: str, hint: str | None = None) -> None:
        mark = node.start_mark
        self.problems.append(FileProblem(mark.line + 1, mark.column + 1, loc, what, hint))

    def _plain(self, node: Node, loc: Loc) -> Any:
        # An anchored node is built once however often its aliases stand for it: else a short
        # file could ask for more memory than there is.
        if id(node) not in self._built:
            self._built[id(node)] = None
            self._built[id(node)] = self._build(node, loc)
        return self._built[id(node)]

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
            # Keys are names, so they stay as written: a host may be called 1, or no.
            name = key.value
            if not isinstance(name, str):
                self._object(key, loc, "a key must be plain text")
            elif name in data:
                hint = "keep one of the two"
                first = f"it stands in line {lines[name]} already"
                self._object(key, (*loc, name), f"duplicate key '{name}'; {first}", hint)
            else:
                lines[name] = key.start_mark.line + 1
                data[name] = self._plain(value, (*loc, name))
        return data

    def _scalar(self, node: Node, kind: str, loc: Loc) -> Any:
        text: str = node.value
        match kind:
            case "null":
                return None
            case "bool":
                # A "%YAML 1.1" at the top would make yes and no booleans; they stay words.
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
    """The node tree of the one document in the text."""
    from ruamel.yaml import YAML  # noqa: PLC0415  (needed only where a file is read)
    from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError  # noqa: PLC0415
    from ruamel.yaml.reader import ReaderError  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            root: Node | None = YAML(typ="safe", pure=True).compose(text)
    except RecursionError:
        raise UsageError("nested too deeply", where=name) from None
    except ReaderError as error:
        before = text[: error.position]
        place = f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        what = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"
        raise UsageError(what, where=place, hint="remove it") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise UsageError(
            f"malformed YAML: {said}",
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
    """The key and value nodes of one part of a key path; an item of a list is its own key."""
    if isinstance(node.value, list):
        for i, item in enumerate(node.value):
            key, value = item if isinstance(item, tuple) else (item, item)
            if part == (key.value if isinstance(item, tuple) else i):
                return key, value
    return None


def _number(text: str, kind: type[int] | type[float]) -> int | float | str:
    """The number, or the text where YAML sees a number that Python does not, or a monstrous one."""
    if len(text) > 60:
        return text
    try:
        if kind is float:
            return float(text)
        # Base 0 takes 0x1f and 0o17; but a leading zero alone is decimal in YAML 1.2.
        return int(text, 10 if text.lstrip("+-").isdecimal() else 0)
    except ValueError:
        return text

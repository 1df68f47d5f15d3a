"""Reading YAML files of a form that has nothing to do with topologies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from qualification.config.environment import FromEnvironment, escape, substitute
from qualification.config.problems import Form, Union
from qualification.config.reading import load_as, parse_as, schema_of
from qualification.config.values import Line, Name, Switch, Whole
from qualification.config.wording import key_path, shown, suggestion
from qualification.errors import EXIT_USAGE, UsageError


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Cat(Closed):
    kind: Literal["cat"]
    lives: Whole = Field(default=9, ge=1, description="Lives that are left.")


class Dog(Closed):
    kind: Literal["dog"]
    tricks: tuple[Line, ...] = Field(default=(), description="Tricks that it knows.")


class Owner(Closed):
    town: Line = Field(description="Town that the owner lives in.")
    garden: Switch = Field(default=False, description="Whether there is a garden.")


class Home(Closed):
    version: Literal[1]
    owners: Mapping[Name, Owner] = Field(default_factory=dict, description="The owners by name.")
    pet: Annotated[Cat | Dog | None, Field(discriminator="kind")] = None


HOME = Form(
    "home",
    {("owners", "*"): Owner},
    Home,
    begin_from="homes/example.yaml",
    examples="give the path of a home",
    unions={"pet": Union("a kind of pet", "cat", {"cat": Cat, "dog": Dog})},
)

# (id, text, where, what, hint): where is line:column of home.yaml.
MISTAKES = [
    ("empty", "", None, "the file is empty", "begin from homes/example.yaml"),
    ("comments only", "# nothing\n", None, "the file is empty", "begin from homes/"),
    ("null", "---\n", None, "the file is empty", "begin from homes/"),
    ("not UTF-8", b"version: 1\nhosts: \xff\n", "2:8", "not UTF-8: byte 0xff", "as UTF-8"),
    ("control character", "a: 1\nb: \x01\n", "2:4", "U+0001 is not allowed in YAML", "remove it"),
    ("malformed", "version: 1\nowners: a: b\n", "2:10", "malformed YAML: mapping values", "colons"),
    ("tab", "owners:\n\talpha: 1\n", "2:1", "malformed YAML: ", "with spaces, not with tabs"),
    ("unquoted variable", "a: {b: ${X}}\n", "1:9", "malformed YAML: ", 'quote a variable: "${N'),
    ("two documents", "a: 1\n---\nb: 1\n", "2:1", "but found another document", "brackets"),
    ("undefined alias", "a: *b\n", "1:4", "undefined alias 'b'", ""),
    ("too deep", "[" * 100_000, "1:33", "nested too deeply: more than 32 lists", ""),
    ("too deep in blocks", "- " * 3000, "1:65", "nested too deeply: more than 32 lists", ""),
    ("escape", 'version: 1\npet: "\\e[2J"\n', "2:6",
     "pet: the character U+001B is not allowed here", "remove it"),
    ("escape in a key", 'version: 1\n"a\\u202eb": 1\n', "2:1",
     "the character U+202E is not allowed here", "remove it"),
    ("NUL", "version: 1\nx: \0\n", "2:4", "the character U+0000 is not allowed in YAML", ""),
    ("python", "version: !!python/object/apply:os.system [true]\n", "1:10",
     "version: the tag tag:yaml.org,2002:python/object/apply:os.system has no meaning", "remove"),
    ("list", "[1]", "1:1", "must be a mapping of keys to values, not a list", ""),
    ("text", "hello", "1:1", "must be a mapping of keys to values, not 'hello'", ""),
    ("tag", "version: !v 1\n", "1:10", "version: the tag !v has no meaning here", "remove it"),
    ("key not text", "? [soft]\n: 1\nversion: 1\n", "1:3", "a key must be plain text", ""),
    ("duplicate key", "version: 1\nversion: 1\n", "2:1",
     "version: duplicate key 'version'; line 1 has it already", "keep one of the two"),
    ("unknown key", "version: 1\npat: null\n", "2:1",
     "unknown key 'pat'; did you mean 'pet'?", ""),
    ("missing key", "version: 1\nowners:\n  ann: {}\n", "3:3",
     "owners.ann: 'town' is missing", "add town: Town that the owner lives in"),
    ("name", "version: 1\nowners:\n  a.b: {town: x}\n", "3:3",
     "owners['a.b']: 'a.b' must begin with a letter or digit", ""),
    ("no text", "version: 1\nowners:\n  ann: {town: 5}\n", "3:15",
     "owners.ann.town: must be text, not 5", "put it in quotes"),
    ("yes", "version: 1\nowners:\n  ann: {town: x, garden: yes}\n", "3:26",
     "owners.ann.garden: must be true or false, not 'yes'", "write true"),
    ("kind", "version: 1\npet: {kind: cow}\n", "2:13",
     "pet.kind: must be a kind of pet, not 'cow'; known here: cat, dog", ""),
    ("no kind", "version: 1\npet: {lives: 3}\n", "2:1", "pet: 'kind' is missing", "add kind: cat"),
    ("below a kind", "version: 1\npet: {kind: cat, lives: 0}\n", "2:25",
     "pet.lives: must be 1 or more, not 0", "write here: Lives that are left"),
    ("undefined variable", "version: 1\nowners: {ann: {town: '${TOWN}'}}\n", "2:22",
     "owners.ann.town: the environment variable TOWN is not set", "export TOWN"),
    ("not a variable", "version: 1\nowners: {ann: {town: '${A B}'}}\n", "2:22",
     "owners.ann.town: '${' begins no variable", "$$ for a dollar"),
]  # fmt: skip


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Reads a text as home.yaml, with an environment of its own."""
    monkeypatch.chdir(tmp_path)

    def read(content: str | bytes, **environ: str) -> Home:
        if isinstance(content, str):
            return parse_as(HOME, content, "home.yaml", environ)
        Path("home.yaml").write_bytes(content)
        return load_as(HOME, Path("home.yaml"))

    return read


@pytest.mark.parametrize(
    ("content", "where", "what", "hint"),
    [pytest.param(*mistake[1:], id=mistake[0]) for mistake in MISTAKES],
)
def test_mistake(read: Any, content: str | bytes, where: str | None, what: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(content)
    error = caught.value
    assert error.exit_code == EXIT_USAGE
    assert what in str(error)
    assert hint in str(error)
    assert str(error).startswith("home.yaml")
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    if where:
        assert "problems" not in error.what, f"one mistake, reported as several: {error}"
        assert error.where == f"home.yaml:{where}"


def test_missing_file(tmp_path: Path) -> None:
    text = r"nowhere\.yaml: there is no such file\n  next: give the path of a home"
    with pytest.raises(UsageError, match=text):
        load_as(HOME, tmp_path / "nowhere.yaml")


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this is a directory"):
        load_as(HOME, tmp_path)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UsageError, match="cannot be read: Too many levels of symbolic links"):
        load_as(HOME, tmp_path / "loop")


def test_a_byte_order_mark(read: Any) -> None:
    assert read("\ufeffversion: 1\n".encode()) == Home(version=1)


def test_an_alias_within_itself(read: Any) -> None:
    with pytest.raises(UsageError):
        read("&a {version: 1, owners: *a, pet: *a}")


def test_a_file_that_would_grow_without_end(read: Any) -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 30)]
    text = r"^home\.yaml:6:5: has more than 100000 values, counted as often as aliases repeat them"
    with pytest.raises(UsageError, match=text):
        read("\n".join(["l0: &l0 [x]", *levels]))


def test_many_values_side_by_side_are_not_deep(read: Any) -> None:
    owners = "".join(f"  o{number}: {{town: x}}\n" for number in range(100))
    assert len(read(f"version: 1\nowners:\n{owners}").owners) == 100


def test_a_file_without_end() -> None:
    with pytest.raises(UsageError, match=r"^/dev/zero: has more than 512 KiB, which is more"):
        load_as(HOME, Path("/dev/zero"))


def test_of_many_problems_the_first_are_told(read: Any) -> None:
    with pytest.raises(UsageError) as caught:
        read("version: 1\n" + "".join(f"k{number}: 1\n" for number in range(1000)))
    assert str(caught.value).startswith("home.yaml: 1000 problems\n")
    assert "home.yaml:51:1: unknown key 'k49'" in str(caught.value)
    assert "unknown key 'k50'" not in str(caught.value)
    assert str(caught.value).endswith("\n  and 950 more")


def test_texts_stay_as_they_are_without_an_environment() -> None:
    text = "version: 1\nowners: {ann: {town: '$${X}'}}\n"
    assert parse_as(HOME, text, "home.yaml").owners["ann"].town == "$${X}"
    assert parse_as(HOME, text, "home.yaml", {}).owners["ann"].town == "${X}"


def test_the_whole_is_checked_even_if_a_part_is_wrong() -> None:
    seen: list[set[Any]] = []
    form = Form("home", {}, Home, "b", "e", check_whole=lambda _, broken: seen.append(broken) or [])  # type: ignore[func-returns-value]
    with pytest.raises(UsageError):
        parse_as(form, "version: 2\n", "home.yaml")
    assert seen == [{("version",)}]


def test_schema() -> None:
    schema = schema_of(HOME)
    assert schema["title"] == "vxqual home"
    assert "title" not in schema["$defs"]["Owner"]["properties"]["town"]


@given(st.text())
def test_an_escaped_text_is_substituted_to_itself(text: str) -> None:
    def refuse(what: str, hint: str) -> None:
        raise AssertionError(what, hint)

    again = substitute(escape(text), {}, refuse)
    assert again == text
    assert not isinstance(again, FromEnvironment)


def test_wording() -> None:
    assert key_path(("a", "b", 1, "c d")) == "a.b[1]['c d']"
    assert [shown(value) for value in (None, {}, [], True, 1.5, "x")] == [
        "empty", "a mapping", "a list", "true", "1.5", "'x'",
    ]  # fmt: skip
    assert shown(FromEnvironment("x", "${X}")) == "'x' (from ${X})"
    assert suggestion("allpha", ["alpha", "bravo"]) == "; did you mean 'alpha'?"
    assert suggestion("zulu", ["alpha", "bravo"]) == "; known here: alpha, bravo"
    assert suggestion("zulu", []) == ""

"""Every command of the documents exists and takes its options; those that can be are run."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
import pytest
from _pytest.mark.expression import Expression
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.utils import wrpcap

import bench.__main__
import torture.__main__
from qualification.cli import main

from .documents import (
    DOCUMENTS,
    PROGRAMS,
    ROOT,
    Command,
    commands,
    files,
    inline_code,
    inline_commands,
    is_program,
)

COMMANDS = [command for path in DOCUMENTS for command in commands(path)]
INLINE = [command for path in DOCUMENTS for command in inline_commands(path)]
OPTIONS = sorted(
    {
        (path.name, span)
        for path in DOCUMENTS
        for _, span in inline_code(path)
        if re.match(r"--?[a-z]", span)
    }
)

RUN = {
    "vxqual cases",
    "vxqual verify",
    "python -m",
}
"""What is run for real as it is: the first two words of a command."""
RUN_IN_THE_LAB = {
    "vxqual check topologies/loopback.yaml",
    "vxqual plan topologies/loopback.yaml --plan quick --cells",
}
"""What is run for real where there is root for a loopback lab."""

NOT_RUN = {
    "vxqual run": "qualifies a lab, which takes minutes; tests/e2e runs it",
    "vxqual check": "asks hosts that are an example",
    "vxqual plan": "asks hosts that are an example",
    "vxqual restore": "asks hosts that are an example; tests/e2e restores a lab",
    "vxqual gate": "needs the results of a run; tests/e2e holds one against policies",
    "vxqual init": "writes files; tests/cli and tests/e2e do that",
    "vxqual judge": "needs the results of a run; tests/e2e judges one again",
    "vxqual site": "needs the results of runs; tests/results/site makes some",
    "vxqual bundle": "needs the results of a run; tests/results/bundle makes bundles",
    "vxqual page": "needs the results of a run; tests/e2e writes the page of one",
    "vxqual compare": "needs the results of two runs; tests/results/comparison compares some",
    "vxqual runs": "needs a store; tests/cli/test_store.py makes one",
    "vxqual import": "needs the results of runs; tests/cli/test_store.py imports some",
    "vxqual history": "needs a store; tests/cli/test_store.py makes one",
    "vxqual report": "needs the results of a run; tests/cli/test_store.py has one",
    "vxqual notify": "needs the results of a run; tests/cli/test_nightly.py tells of one",
    "export": "changes the user's own shell",
    "vxqual lab": "would change a lab that somebody keeps on this machine; tests/lab has its own",
    "vxqual selftest": "takes minutes; tests/selftest and .ci/run run it",
    "pytest": "qualifies a lab; tests/e2e runs it",
    "scripts/setup": "is what made the environment that runs this test",
    "scripts/test": "is what runs this test",
    "scripts/qualify": "qualifies a lab; it is `vxqual run`, and its options are checked as such",
    "scripts/bench": "measures for minutes; tests/bench runs it on small inputs",
    "scripts/torture": "disturbs labs for minutes; tests/torture and .ci/run run it",
    "scripts/wheel": "fetches a compiler and builds a release",
    ".ci/run": "is what runs this test",
    "source": "changes the user's own shell",
    "python3": "makes an environment; tests/test_installed.py does that",
    "pip": "installs into one; tests/test_installed.py does that",
    "vxqual verify --live": "captures a NIC of the user; tests/verify/test_live.py captures one",
    "ethtool": "changes a NIC",
    "tcpdump": "captures until it is stopped",
}
"""What is not run, and why. Everything else about it is checked."""

PLACEHOLDERS = {
    "my-lab.yaml": "the user's topology",
    "loopback.yaml": "one that `vxqual init lab` has written",
    "known-x710.yaml": "known failures of the user",
    "expectations.yaml": "the user's known failures",
    "policy.yaml": "the user's policy",
    "certificate": "where a certificate goes",
    "~/.ssh/id_ed25519": "the user's key",
    "my-policy.yaml": "another policy of the user",
    "capture.pcapng": "the user's capture",
    "eth0": "the user's interface",
    "a.pcap": "another one",
    "wrong.pcapng": "where wrong frames go",
    "b.pcap": "another one",
    "out": "the results of runs",
    "out/latest": "the results of the latest run",
    "20261129-053315-482913": "the id of a run",
    "lab.sqlite": "the user's store",
    "8.*": "any firmware that begins like that",
    "out/20261129-053315-482913": "the results of another run",
    "again": "where results go",
    "nics.prom": "where metrics go",
    "nics.xml": "where a report goes",
    "nics.jsonl": "where another one goes",
    "before": "the results of a run before a change",
    "after": "the results of a run after it",
    "matrix.html": "where a page goes",
    "site": "where pages go",
    "junit.xml": "where a report goes",
    "allure": "where a report goes",
    "x710": "a pair of the user's topology",
    "x710/all-on/outer4-csum/inner4/tcp": "the id of a cell",
    "report": "where a bundle goes",
    "json://hooks.example/nic": "whom the user tells",
}
"""Names in commands that the user makes."""


def key(command: Command) -> str:
    """What `RUN` and `NOT_RUN` know a command by."""
    starts = (" ".join(command.words[:count]) for count in (3, 2))
    return next((start for start in starts if start in {*RUN, *NOT_RUN}), command.words[0])


def ids(some: Iterable[Command]) -> list[str]:
    return [str(command) for command in some]


@pytest.mark.parametrize("command", COMMANDS, ids=ids(COMMANDS))
def test_a_command_is_run_or_is_not_for_a_reason(command: Command) -> None:
    assert key(command) in {*RUN, *NOT_RUN}, f"{command}: neither run nor excused"


@pytest.mark.parametrize("command", COMMANDS, ids=ids(COMMANDS))
def test_a_command_exists_and_takes_its_options(
    command: Command, pytestconfig: pytest.Config
) -> None:
    validate(command, pytestconfig)


@pytest.mark.parametrize("command", INLINE, ids=ids(INLINE))
def test_a_command_in_a_sentence_exists(command: Command, pytestconfig: pytest.Config) -> None:
    validate(command, pytestconfig, whole=False)


@pytest.mark.parametrize(("document", "span"), OPTIONS)
def test_an_option_in_a_sentence_exists(
    document: str, span: str, pytestconfig: pytest.Config
) -> None:
    name = re.split(r"[ =]", span)[0]
    ours = _click_options(main) | _click_options(bench.__main__.main) | {"--dev"}
    ours |= _click_options(torture.__main__.main)
    if name in ours and name not in ("-k", "-m"):
        return
    try:
        _pytest_options(_quoted(span), pytestconfig)
    except pytest.UsageError as error:
        assert "expected one argument" in str(error), error  # so there is such an option


def _below(group: click.Group) -> dict[str, click.Command]:
    """The commands of a group by their names; those of vxqual are imported when asked for."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command}


def _click_options(command: click.Command) -> set[str]:
    """Every option of a command and of those below it."""
    below = _below(command).values() if isinstance(command, click.Group) else ()
    own = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    return own.union({"--help"}, *map(_click_options, below))


@pytest.mark.parametrize(
    "text",
    [
        "vxqual prove",
        "vxqual plan my-lab.yaml --sets",
        "vxqual run my-lab.yaml --no-such-option",
        "vxqual run no-such-lab.yaml",
        "vxqual run --topology no-such-lab.yaml",
        "vxqual run my-lab.yaml -m no-such-marker",
        "vxqual check my-lab.yaml out",
        "vxqual lab list",
        "vxqual judge out again",
        "scripts/nothing",
        "scripts/bench nothing",
        "scripts/test --no-such-option",
        "scripts/setup --topology no-such-lab.yaml",
        "pytest qualification/cases --vx-topologies my-lab.yaml",
        "python -m qualification.no_such_module",
        "make install",
    ],
)
def test_a_mistake_is_found(text: str, pytestconfig: pytest.Config) -> None:
    with pytest.raises((AssertionError, click.UsageError, pytest.UsageError)):
        validate(Command("here", text, tuple(_quoted(text))), pytestconfig)


def _quoted(text: str) -> list[str]:
    return shlex.split(text)


def validate(command: Command, config: pytest.Config, *, whole: bool = True) -> None:
    """Fails where a command could not be what the document says it is.

    Args:
        command: The command.
        config: This run's, whose parser knows the options of pytest and its plugins.
        whole: False where it may be the beginning of a command.
    """
    program, *words = command.words
    assert is_program(program), f"{command}: {program} is none of {', '.join(PROGRAMS)}"
    if command.output is not None:
        assert command.output in files(), f"{command}: there is no {command.output}"
    if program == "vxqual":
        _click(main, "vxqual", words, config, whole)
    elif program == "pytest" or words[:2] == ["-m", "pytest"]:
        _pytest_options(words, config)
    elif program == "python" and words[0] == "-c":
        compile(words[1], command.place, "exec")
    elif program == "python":
        assert words[0] == "-m", f"{command}: only modules are run"
        assert importlib.util.find_spec(words[1]) is not None, f"there is no {words[1]}"
    elif program.startswith(("scripts/", ".ci/")):
        script = ROOT / program
        assert script.is_file(), f"{command}: there is no {program}"
        assert os.access(script, os.X_OK), f"{command}: {program} is not executable"
        _script(program, words, config, whole)
    elif program == "source":
        (path,) = words
        assert path == ".venv/bin/activate"


def _script(program: str, words: list[str], config: pytest.Config, whole: bool) -> None:
    match program:
        case "scripts/qualify":
            named = "--topology" in words or (bool(words) and not words[0].startswith("-"))
            given = words if named else ["my-lab.yaml", *words]
            _click(main, "vxqual", ["run", *given], config, whole)
        case "scripts/bench":
            with bench.__main__.main.make_context("bench", list(words)):
                pass
        case "scripts/torture":
            with torture.__main__.main.make_context("torture", list(words)):
                pass
        case "scripts/test":
            _pytest_options(
                [word for word in words if word not in ("--real-drivers", "--postgresql")], config
            )
        case "scripts/setup":
            given = [*words, ""]
            if "--topology" in given:
                at = given.index("--topology")
                assert (ROOT / given[at + 1]).is_file()
                del given[at : at + 2]
            assert given in ([""], ["--dev", ""], ["--postgresql", ""])
        case _:
            assert not words


def _click(
    group: click.Command, name: str, words: list[str], config: pytest.Config, whole: bool
) -> None:
    """Parses as the command would, down to the last subcommand, and runs nothing."""
    if words in (["--help"], ["--version"]):
        return
    if isinstance(group, click.Group):
        if not words:
            assert not whole, f"{name} alone does nothing"
            return
        found = group.get_command(click.Context(group), words[0])
        assert found is not None, f"there is no command {name} {words[0]}"
        _click(found, f"{name} {words[0]}", words[1:], config, whole)
        return
    if not words and not whole:
        return
    try:
        context = group.make_context(name, list(words))
    except click.MissingParameter:
        assert not whole, f"{name}: something is missing"
        return
    with context:
        _files_exist(context.params.values())
        _pytest_options(context.args, config)


def _files_exist(values: Iterable[object]) -> None:
    """Every file that is named is in the repository, or is known to be the user's."""
    for value in values:
        if isinstance(value, (tuple, list)):
            _files_exist(value)
        elif isinstance(value, (str, Path)) and re.search(r"[./]", str(value)):
            known = str(value) in files() or str(value) in PLACEHOLDERS
            assert known, f"there is no {value}, and it is no placeholder"


def _pytest_options(words: Sequence[str], config: pytest.Config) -> None:
    """Parses as pytest would with the plugins of this environment, marks and all."""
    known, unknown = config._parser.parse_known_and_unknown_args(list(words))
    assert not [word for word in unknown if word.startswith("-")], f"pytest has no {unknown}"
    for path in known.file_or_dir:
        assert (ROOT / path).exists(), f"there is no {path}"
    for text in (known.keyword, known.markexpr):
        if text:
            Expression.compile(text)
    for mark in re.findall(r"\w+", known.markexpr or ""):
        assert mark in {"not", "and", "or", *_marks()}, f"there is no mark {mark}"


def _marks() -> set[str]:
    plugin = (ROOT / "qualification/plugin.py").read_text(encoding="utf-8")
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return {
        *re.findall(r'"(\w+): ', plugin),
        *re.findall(r'^    "(\w+): ', settings.split("markers = [")[1], re.MULTILINE),
    }


# What is run for real


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture of one VXLAN frame, right in every layer."""
    inner = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=9, dport=9) / b"payload"
    outer = Ether() / IP(src="198.18.0.1", dst="198.18.0.2") / UDP(sport=49152, dport=4789)
    path = tmp_path / "capture.pcapng"
    wrpcap(str(path), [outer / VXLAN(vni=1, flags="Instance") / inner])
    return path


def run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    program, *rest = words
    vxqual = ["-c", "from qualification.cli import main; main(prog_name='vxqual')"]
    start = [sys.executable, *(vxqual if program == "vxqual" else [])]
    return subprocess.run(
        [*start, *rest], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


REAL = [command for command in COMMANDS if key(command) in RUN]
LAB = [
    command
    for command in COMMANDS
    if command.text in RUN_IN_THE_LAB or " ".join(command.words) in RUN_IN_THE_LAB
]


@pytest.mark.parametrize("command", REAL, ids=ids(REAL))
def test_what_needs_no_lab_is_run(command: Command, capture: Path) -> None:
    files = dict.fromkeys((capture.name, "a.pcap", "b.pcap"), str(capture))
    files["wrong.pcapng"] = str(capture.with_name("wrong.pcapng"))
    done = run([files.get(word, word) for word in command.words])
    assert done.returncode == 0, done.stderr + done.stdout
    if command.output is not None:
        assert done.stdout == (ROOT / command.output).read_text(encoding="utf-8"), (
            f"run: {command.text}"
        )


@pytest.mark.parametrize("name", ["", *_below(main)], ids=lambda name: name or "vxqual")
def test_every_command_has_its_help(name: str) -> None:
    done = run(["vxqual", *name.split(), "--help"])
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")


def _leaves(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    for word, command in _below(group).items():
        if isinstance(command, click.Group):
            yield from _leaves(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


@pytest.mark.parametrize(("name", "command"), [*_leaves(main, "vxqual")])
def test_the_help_of_every_command_teaches_by_examples(
    name: str, command: click.Command, pytestconfig: pytest.Config
) -> None:
    said = command.get_help(click.Context(command, info_name=name))
    block = said.partition("Examples:\n")[2].partition("\n\n")[0]
    texts = [re.split(r" {3,}", line.strip())[0] for line in block.splitlines()]
    assert texts, f"{name} has no example"
    for text in texts:
        assert f"{text} ".startswith(f"{name} ")
        validate(Command(name, text, tuple(_quoted(text))), pytestconfig)


@pytest.mark.lab
@pytest.mark.parametrize("command", LAB, ids=ids(LAB))
def test_what_needs_a_loopback_lab_is_run(command: Command) -> None:
    done = run(command.words)
    assert done.returncode == 0, done.stderr + done.stdout


def test_commands_are_found_wherever_a_document_has_them(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(
        "Text with `vxqual prove` in it, and `vxqual …`.\n\n"
        "```sh\nvxqual prove  # a comment\n# another\nmake x > y\n```\n\n"
        "    vxqual list\n    some output\n\n"
        "```text\nvxqual output\n```\n"
    )
    assert [(one.words, one.output) for one in commands(document)] == [
        (("vxqual", "prove"), None),
        (("make", "x"), "y"),
        (("vxqual", "list"), None),
    ]
    assert [one.words for one in inline_commands(document)] == [("vxqual", "prove")]


def test_there_is_something_to_check() -> None:
    assert len(COMMANDS) > 40
    assert len(REAL) >= 8
    assert len({" ".join(command.words) for command in LAB}) == len(RUN_IN_THE_LAB)


@pytest.mark.parametrize("command", _below(main))
def test_every_command_is_in_a_document(command: str) -> None:
    assert any(c.words[:2] == ("vxqual", command) for c in COMMANDS)

"""Reading topologies: every committed one loads, every mistake is reported with its place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from qualification.errors import EXIT_USAGE, UsageError
from qualification.topology import Topology, dump, load, parse, schema

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
COMMITTED = sorted(TOPOLOGIES.glob("*.yaml"))

SOFT = """\
version: 1
hosts:
  alpha:
    nics:
      port0: {interface: port0, underlay: [198.18.0.1/24, "fd00:18::1/64"]}
  bravo:
    nics:
      port0: {interface: port0, underlay: [198.18.0.2/24, "fd00:18::2/64"]}
pairs:
  soft: {dut: alpha.port0, peer: bravo.port0}
lab:
  kind: loopback
"""

REAL = """\
version: 1
hosts:
  alpha:
    ssh:
      address: 192.0.2.11
      port: 22
      user: root
      key: ~/.ssh/lab
      sudo: false
    nics:
      port0:
        interface: ens1f0
        underlay:
          - 198.18.0.1/24
          - fd00:18::1/64
        firmware: null
  bravo:
    ssh: {address: 192.0.2.12}
    nics:
      port0: {interface: ens2f0, underlay: [198.18.0.2/24]}
pairs:
  x710: {dut: alpha.port0, peer: bravo.port0}
"""


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load a text as my-lab.yaml, with an environment of its own."""
    monkeypatch.chdir(tmp_path)

    def read(content: str | bytes, **environ: str) -> Topology:
        content = content.encode() if isinstance(content, str) else content
        Path("my-lab.yaml").write_bytes(content)
        return load("my-lab.yaml", environ)

    return read


def swap(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text, f"the test needs an update: {old!r} is not in the text"
        text = text.replace(old, new, 1)
    return text


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_topology_loads_and_fits_the_schema(path: Path, tmp_path: Path) -> None:
    topology = load(path, {})
    jsonschema.validate(YAML(typ="safe", pure=True).load(path), schema())
    (tmp_path / "again.yaml").write_text(dump(topology))
    assert load(tmp_path / "again.yaml", {}) == topology


def test_committed_schema_is_in_step() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "qualification.topology"], check=True, capture_output=True, text=True
    ).stdout
    assert (TOPOLOGIES / "schema.json").read_text() == printed, (
        "run: python -m qualification.topology > topologies/schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(json.loads(printed))


@pytest.mark.parametrize(
    "changes",
    [
        [("interface: ens1f0", "interfaces: ens1f0")],
        [("port: 22", "port: 70000")],
        [("port: 22", "port: twenty-two")],
        [("sudo: false", "sudo: yes")],
        [("key: ~/.ssh/lab", "password: hunter2")],
        [("version: 1", "version: 2")],
        [("  alpha:", "  al.pha:")],
        [("dut: alpha.port0", "dut: alpha")],
        [("interface: ens1f0", "interface: a/b")],
        [("firmware: null", "firmware: 8.30")],
    ],
    ids=lambda changes: changes[0][1],
)
def test_the_schema_refuses_what_loading_refuses(changes: list[tuple[str, str]]) -> None:
    data = YAML(typ="safe", pure=True).load(swap(REAL, *changes))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema())


def test_the_schema_describes_every_key() -> None:
    document = schema()
    for model in [document, *document["$defs"].values()]:
        for name, field in model["properties"].items():
            assert field.get("description"), f"{model['title']}.{name} has no description"


# (id, text, where, what, hint): where is line:column of my-lab.yaml.
MISTAKES = [
    ("empty", "", None, "the file is empty", "begin from what `vxqual init topology` writes"),
    ("malformed", "version: 1\nhosts: a: b\n", "2:9", "malformed YAML: mapping values", "colons"),
    ("list", "[1]", "1:1", "must be a mapping of keys to values, not a list", ""),
    ("text", "hello", "1:1", "must be a mapping of keys to values, not 'hello'", ""),
    ("tag", swap(SOFT, ("version: 1", "version: !v 1")), "1:10",
     "version: the tag !v has no meaning here", "remove it"),
    ("key not text", swap(SOFT, ("  soft:", "  ? [soft]\n  :")), "10:5",
     "pairs: a key must be plain text", ""),
    ("duplicate key", SOFT + "lab: null\n", "13:1",
     "lab: duplicate key 'lab'; line 11 has it already", "keep one of the two"),
    ("duplicate host", swap(SOFT, ("pairs:", "  alpha: {nics: {}}\npairs:")), "9:3",
     "hosts.alpha: duplicate key 'alpha'; line 3 has it already", "keep one of the two"),
    ("unknown key", swap(REAL, ("        firmware", "        firmwear")), "16:9",
     "hosts.alpha.nics.port0: unknown key 'firmwear'; did you mean 'firmware'?", ""),
    ("unknown key, nothing near", swap(SOFT, ("  soft: {", "  soft: {zz: 1, ")), "10:10",
     "pairs.soft: unknown key 'zz'; known here: dut, peer, port", ""),
    ("unknown key at the top", SOFT + "host: 1\n", "13:1",
     "unknown key 'host'; did you mean 'hosts'?", ""),
    ("unknown key in the lab", SOFT + "  mut: 1500\n", "13:3",
     "lab: unknown key 'mut'; did you mean 'mtu'?", ""),
    ("missing key", swap(REAL, ("        interface: ens1f0\n", "")), "11:7",
     "hosts.alpha.nics.port0: 'interface' is missing", "add interface: Name of the interface"),
    ("missing version", swap(SOFT, ("version: 1\n", "")), "1:1", "'version' is missing",
     "add version: "),
    ("version 2", swap(SOFT, ("version: 1", "version: 2")), "1:10",
     "version: must be 1, not 2", "Version of the file format, which is 1"),
    ("number for a mapping", swap(REAL, ("ssh: {address: 192.0.2.12}", "ssh: 7")), "18:10",
     "hosts.bravo.ssh: must be a mapping of keys to values, not 7", "How the host is reached"),
    ("nothing for a mapping", "version: 1\nhosts:\npairs: {}\n", None, "2:1: hosts: must be a "
     "mapping of keys to values, not empty", ""),
    ("text for a list", swap(SOFT, ('[198.18.0.1/24, "fd00:18::1/64"]', "198.18.0.1/24")), "5:43",
     "underlay: must be a list, not '198.18.0.1/24'", 'put it in brackets: ["198.18.0.1/24"]'),
    ("text for a number", swap(REAL, ("port: 22", "port: ssh")), "6:13",
     "hosts.alpha.ssh.port: must be a whole number, not 'ssh'", "TCP port of sshd"),
    ("switch for a number", swap(REAL, ("port: 22", "port: true")), "6:13",
     "hosts.alpha.ssh.port: must be a whole number, not true", ""),
    ("port 0", swap(REAL, ("port: 22", "port: 0")), "6:13",
     "hosts.alpha.ssh.port: must be 1 or more, not 0", ""),
    ("port 65536", swap(SOFT, ("peer: bravo.port0}", "peer: bravo.port0, port: 65536}")), "10:53",
     "pairs.soft.port: must be 65535 or less, not 65536", "UDP port of the tunnels"),
    ("half a port", swap(REAL, ("port: 22", "port: 22.5")), "6:13",
     "hosts.alpha.ssh.port: must be a whole number, not 22.5", ""),
    ("number for a text", swap(REAL, ("firmware: null", "firmware: 8.30")), "16:19",
     "hosts.alpha.nics.port0.firmware: must be text, not 8.3", "put it in quotes"),
    ("yes", swap(REAL, ("sudo: false", "sudo: yes")), "9:13",
     "hosts.alpha.ssh.sudo: must be true or false, not 'yes'", "write true"),
    ("off", swap(REAL, ("sudo: false", "sudo: off")), "9:13",
     "hosts.alpha.ssh.sudo: must be true or false, not 'off'", "write false"),
    ("yes of YAML 1.1", "%YAML 1.1\n---\n" + swap(REAL, ("sudo: false", "sudo: yes")), "11:13",
     "hosts.alpha.ssh.sudo: must be true or false, not 'yes'", "write true"),
    ("neither true nor false", swap(REAL, ("sudo: false", "sudo: maybe")), "9:13",
     "must be true or false, not 'maybe'", "write true or false"),
    ("nothing for a text", swap(REAL, ("address: 192.0.2.11", "address:")), "5:7",
     "hosts.alpha.ssh.address: must be text, not empty", "Host name, IP address"),
    ("two lines", swap(REAL, ("user: root", "user: |\n        root\n")), "7:13",
     r"hosts.alpha.ssh.user: 'root\n' must be one line of text", ""),
    ("user in the address", swap(REAL, ("192.0.2.11", "root@192.0.2.11")), "5:16",
     "'root@192.0.2.11' must be a host name or an IP address alone", ""),
    ("name of a host", swap(SOFT, ("  alpha:", "  al pha:")), None,
     "hosts['al pha']: 'al pha' must begin with a letter or digit", ""),
    ("name of a pair", swap(SOFT, ("  soft:", "  so.ft:")), "10:3",
     "pairs['so.ft']: 'so.ft' must begin with a letter or digit", ""),
    ("interface too long", swap(REAL, ("ens1f0", "enp175s0f0np0123")), "12:20",
     "'enp175s0f0np0123' is no name for an interface: 1 to 15 characters", ""),
    ("interface with a slash", swap(REAL, ("ens1f0", "a/b")), "12:20",
     "hosts.alpha.nics.port0.interface: 'a/b' is no name for an interface", ""),
    ("interface dot dot", swap(REAL, ("ens1f0", "'..'")), "12:20", "'..' is no name", ""),
    ("no address", swap(SOFT, ('[198.18.0.1/24, "fd00:18::1/64"]', "[]")), "5:43",
     "hosts.alpha.nics.port0.underlay: must not be empty", "Addresses with prefix"),
    ("no prefix", swap(REAL, ("198.18.0.1/24", "198.18.0.1")), "14:13",
     "hosts.alpha.nics.port0.underlay[0]: '198.18.0.1' has no prefix length",
     "such as 198.18.0.1/24"),
    ("no address at all", swap(REAL, ("fd00:18::1/64", "fd00/18")), "15:13",
     "hosts.alpha.nics.port0.underlay[1]: 'fd00/18' is no IPv4 or IPv6 address", "fd00:18::1/64"),
    ("number for an address", swap(REAL, ("198.18.0.1/24", "3")), "14:13",
     "underlay[0]: must be an address with a prefix", ""),
    ("network address", swap(REAL, ("198.18.0.1/24", "198.18.0.0/24")), "14:13",
     "198.18.0.0/24 is the address of the network itself", "give a host's address"),
    ("network address of IPv6", swap(REAL, ("fd00:18::1/64", '"fd00:18::/64"')), "15:13",
     "fd00:18::/64 is the address of the network itself", "give a host's address"),
    ("broadcast address", swap(REAL, ("198.18.0.1/24", "198.18.0.255/24")), "14:13",
     "198.18.0.255/24 is the broadcast address", "give a host's address"),
    ("multicast", swap(REAL, ("198.18.0.1/24", "224.0.0.1/24")), "14:13",
     "224.0.0.1/24 cannot be the address of a NIC", "unicast"),
    ("link-local", swap(REAL, ("fd00:18::1/64", '"fe80::1/64"')), "15:13",
     "fe80::1/64 is link-local", "fd00::/8"),
    ("two of one family", swap(REAL, ("fd00:18::1/64", "198.18.0.9/24")), "15:13",
     "hosts.alpha.nics.port0.underlay[1]: a second IPv4 address", "one address per family"),
    ("address twice", swap(SOFT, ("198.18.0.2/24", "198.18.0.1/24")), "8:44",
     "hosts.bravo.nics.port0.underlay[0]: 198.18.0.1 belongs to alpha.port0 already", "of its own"),
    ("different subnets", swap(SOFT, ("fd00:18::2/64", "fd00:19::2/64")), "10:3",
     "pairs.soft: fd00:18::1/64 of alpha.port0 and fd00:19::2/64 of bravo.port0 lie in different",
     "need one subnet"),
    ("different prefixes", swap(SOFT, ("198.18.0.2/24", "198.18.0.2/25")), "10:3",
     "lie in different subnets", "need one subnet"),
    ("no family shared", swap(SOFT, ('198.18.0.1/24, "', '"'), (', "fd00:18::2/64"', "")), "10:3",
     "pairs.soft: alpha.port0 and bravo.port0 have no address family in common", "both an IPv4"),
    ("interface twice", swap(SOFT, (
        "      port0: {interface: port0, underlay: [198.18.0.1/24",
        "      port1: {interface: port0, underlay: [198.18.5.1/24]}\n"
        "      port0: {interface: port0, underlay: [198.18.0.1/24")), "6:26",
     "hosts.alpha.nics.port0.interface: 'port0' is NIC 'port1' of this host already", "once"),
    ("machine twice", swap(REAL, ("192.0.2.12", "192.0.2.11")), "18:20",
     "hosts.bravo.ssh.address: the same machine as host 'alpha'", "make the two one host"),
    ("no ssh without a lab", swap(REAL, ("    ssh: {address: 192.0.2.12}\n", "")), "17:3",
     "hosts.bravo: 'ssh' is missing", "or add a lab"),
    ("unknown host", swap(SOFT, ("dut: alpha", "dut: alfa")), "10:15",
     "pairs.soft.dut: there is no host 'alfa'; did you mean 'alpha'?", ""),
    ("unknown host, nothing near", swap(SOFT, ("dut: alpha", "dut: zulu")), "10:15",
     "pairs.soft.dut: there is no host 'zulu'; known here: alpha, bravo", ""),
    ("unknown NIC", swap(SOFT, ("peer: bravo.port0", "peer: bravo.prt0")), "10:34",
     "pairs.soft.peer: host 'bravo' has no NIC 'prt0'; did you mean 'port0'?", ""),
    ("host for a NIC", swap(SOFT, ("dut: alpha.port0", "dut: alpha")), "10:15",
     "pairs.soft.dut: 'alpha' must name a NIC as host.nic, such as alpha.port0", ""),
    ("its own peer", swap(SOFT, ("peer: bravo", "peer: alpha")), "10:34",
     "pairs.soft.peer: dut and peer are the same NIC, alpha.port0", "name another NIC"),
    ("no pairs", swap(SOFT, ("pairs:\n  soft: {dut: alpha.port0, peer: bravo.port0}", "pairs: {}")),
     "9:8", "pairs: must not be empty", "such as x710: {dut: alpha.port0, peer: bravo.port0}"),
    ("kind of lab", swap(SOFT, ("kind: loopback", "kind: loopbak")), "12:9",
     "lab.kind: must be a kind of lab, not 'loopbak'; did you mean 'loopback'?", ""),
    ("no kind of lab", swap(SOFT, ("kind: loopback", "kind: null")), "12:9",
     "lab.kind: must be a kind of lab, not empty; known here: loopback, qemu", ""),
    ("lab without kind", swap(SOFT, ("kind: loopback", "mtu: 1500")), "11:1",
     "lab: 'kind' is missing", "add kind: loopback"),
    ("text for a lab", swap(SOFT, ("lab:\n  kind: loopback", "lab: loopback")), "11:6",
     "lab: must be a mapping of keys to values, not 'loopback'", ""),
    ("key of a qemu lab", swap(SOFT, ("kind: loopback", "kind: qemu\n  model: [igb]")), "13:3",
     "lab: unknown key 'model'; did you mean 'models'?", ""),
    ("model of no NIC", swap(SOFT, ("kind: loopback", "kind: qemu\n  nics: {bravo.prt0: igb}")),
     "13:22", "lab.nics['bravo.prt0']: host 'bravo' has no NIC 'prt0'; did you mean 'port0'?", ""),
    ("memory of a guest", swap(SOFT, ("kind: loopback", "kind: qemu\n  memory: 64")), "13:11",
     "lab.memory: must be 256 or more, not 64", "Memory of a guest"),
    ("firmware of no NIC", SOFT + "  firmwares: {alpha.port1: {model: good}}\n", "13:15",
     "lab.firmwares['alpha.port1']: host 'alpha' has no NIC 'port1'; did you mean 'port0'?", ""),
    ("firmware without model", SOFT + "  firmwares: {alpha.port0: {p: 0.03}}\n", "13:15",
     "lab.firmwares['alpha.port0']: 'model' is missing", "add model: "),
    ("knob", SOFT + "  firmwares: {alpha.port0: {model: x, p: [1]}}\n", "13:42",
     "lab.firmwares['alpha.port0'].p: must be a finite number, text, true or false", ""),
    ("infinite MTU", SOFT + "  mtu: 1e999\n", "13:8", "lab.mtu: must be a whole number", ""),
    ("undefined variable", swap(REAL, ("~/.ssh/lab", "${LAB_KEY}")), "8:12",
     "hosts.alpha.ssh.key: the environment variable LAB_KEY is not set", "${LAB_KEY:-…}"),
    ("undefined kind", swap(SOFT, ("kind: loopback", "kind: ${KIND}")), "12:9",
     "lab.kind: the environment variable KIND is not set", "export KIND"),
    ("not a variable", swap(REAL, ("~/.ssh/lab", "${LAB KEY}")), "8:12",
     "hosts.alpha.ssh.key: '${' begins no variable", "$$ for a dollar"),
    ("password", swap(REAL, ("key: ~/.ssh/lab", "password: hunter2")), "8:17",
     "hosts.alpha.ssh.password: a password must not be in the file",
     "password: ${LAB_PASSWORD}"),
    ("number for a password", swap(REAL, ("key: ~/.ssh/lab", "password: 1234")), "8:17",
     "a password must not be in the file", "password: ${LAB_PASSWORD}"),
    ("password as a default", swap(REAL, ("key: ~/.ssh/lab", "password: ${X:-hunter2}")), "8:17",
     "a password must not be in the file", "password: ${LAB_PASSWORD}"),
]  # fmt: skip


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
    assert str(error).startswith("my-lab.yaml")
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    assert "hunter2" not in str(error)
    if where:
        assert "problems" not in error.what, f"one mistake, reported as several: {error}"
        assert error.where == f"my-lab.yaml:{where}"


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.yaml: there is no such file\n  next: "):
        load(tmp_path / "nowhere.yaml")


def test_all_problems_at_once_sorted_by_line(read: Any) -> None:
    text = swap(
        REAL,
        ("version: 1", "version: 3"),
        ("port: 22", "port: x"),
        ("key: ~/.ssh/lab", "key: ${LAB_KEY}"),
        ("    ssh: {address: 192.0.2.12}\n", ""),
        ("x710:", "self: {dut: bravo.port0, peer: bravo.port0}\n  x710:"),
    )
    with pytest.raises(UsageError) as caught:
        read(text)
    assert str(caught.value).splitlines() == [
        "my-lab.yaml: 5 problems",
        "  my-lab.yaml:1:10: version: must be 1, not 3",
        "    next: write here: Version of the file format, which is 1",
        "  my-lab.yaml:6:13: hosts.alpha.ssh.port: must be a whole number, not 'x'",
        "    next: write here: TCP port of sshd, if not that of ~/.ssh/config or 22",
        "  my-lab.yaml:8:12: hosts.alpha.ssh.key: the environment variable LAB_KEY is not set",
        "    next: export LAB_KEY, or give a default: ${LAB_KEY:-…}",
        "  my-lab.yaml:17:3: hosts.bravo: 'ssh' is missing",
        "    next: write how the host is reached, as ssh: {address: 192.0.2.11}, or add a lab",
        "  my-lab.yaml:21:34: pairs.self.peer: dut and peer are the same NIC, bravo.port0",
        "    next: name another NIC as the peer: a capture on the sender does not show the wire",
    ]


def test_a_broken_host_is_not_also_called_unknown(read: Any) -> None:
    with pytest.raises(UsageError) as caught:
        read(swap(SOFT, ("{interface: port0", "{interfaces: port0")) + "  firmwares: {}\n")
    assert "2 problems" in caught.value.what
    assert "there is no host" not in caught.value.what


def test_a_broken_lab_does_not_ask_for_ssh(read: Any) -> None:
    with pytest.raises(UsageError) as caught:
        read(SOFT + "  mtu: 12\n")
    assert caught.value.what == "lab.mtu: must be 1350 or more, not 12"


def test_variables(read: Any) -> None:
    text = swap(
        REAL,
        ("address: 192.0.2.11", "address: ${HOST}.example.net"),
        ("port: 22", "port: ${PORT}"),
        ("user: root", "user: ${NOBODY:-nobody}$$"),
        ("key: ~/.ssh/lab", "password: ${SECRET}"),
        ("sudo: false", "sudo: ${SUDO:-true}"),
        ("firmware: null", "firmware: ${FIRMWARE}"),
    )
    environ = {"HOST": "a", "PORT": "2222", "NOBODY": "", "SECRET": "hunter2", "FIRMWARE": "8.30"}
    topology = read(text, **environ)
    ssh = topology.hosts["alpha"].ssh
    assert (ssh.address, ssh.port, ssh.user, ssh.sudo) == ("a.example.net", 2222, "nobody$", True)
    assert ssh.password.get_secret_value() == "hunter2"
    assert topology.nic("alpha.port0").firmware == "8.30"
    assert "hunter2" not in repr(topology) + dump(topology) + topology.model_dump_json()
    assert read(dump(topology), **environ) == topology


def test_a_wrong_value_from_a_variable_names_the_variable(read: Any) -> None:
    with pytest.raises(UsageError, match=r"a whole number, not 'abc' \(from \$\{PORT\}\)"):
        read(swap(REAL, ("port: 22", "port: ${PORT}")), PORT="abc")


def test_a_value_that_is_not_unicode(read: Any) -> None:
    with pytest.raises(UsageError, match=r"firmware: must be text, without half characters"):
        read(swap(REAL, ("firmware: null", "firmware: ${FIRMWARE}")), FIRMWARE="\udcff")


def test_an_empty_password_is_refused(read: Any) -> None:
    with pytest.raises(UsageError, match=r"password: \$\{SECRET\} is empty"):
        read(swap(REAL, ("key: ~/.ssh/lab", "password: ${SECRET}")), SECRET="")


def test_knobs_keep_their_types(read: Any) -> None:
    knobs = "{model: x, a: 0.5, b: 3, c: true, d: text, e: '3', f: 010, g: 0x10, h: '${P}'}"
    topology = read(f"{SOFT}  firmwares: {{alpha.port0: {knobs}}}\n", P="0.03")
    assert topology.lab.firmwares["alpha.port0"].knobs == {
        "a": 0.5, "b": 3, "c": True, "d": "text", "e": "3", "f": 10, "g": 16, "h": 0.03,
    }  # fmt: skip


def test_names_that_yaml_takes_for_something_else(read: Any) -> None:
    text = SOFT.replace("alpha", "007").replace("bravo", "no").replace("soft", "null")
    topology = read(text)
    assert (list(topology.hosts), list(topology.pairs)) == (["007", "no"], ["null"])
    assert read(dump(topology)) == topology


def test_aliases(read: Any) -> None:
    anchored = SOFT.replace("interface: port0", "interface: &name port0", 1)
    aliased = "interface: *name".join(anchored.rsplit("interface: port0", 1))
    assert aliased.count("*name") == 1
    assert read(aliased) == read(SOFT)


def test_text_without_a_file(read: Any) -> None:
    assert parse(SOFT, "soft.yaml", {}) == read(SOFT)
    with pytest.raises(UsageError, match=r"^soft\.yaml:13:1: unknown key 'x'"):
        parse(SOFT + "x: 1\n", "soft.yaml", {})

"""`ssh: {address: lab-a}` works where `ssh lab-a` does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Edit, Persistent, eventually, vxqual

pytestmark = pytest.mark.lab

Changed = Callable[[Edit], Path]


@pytest.fixture
def config(lab: Persistent, tmp_path: Path) -> Iterator[Path]:
    """A configuration that names both hosts: one behind a jump host, one with a certificate."""
    hosts = lab.document["hosts"]
    ssh = {name: host["ssh"] for name, host in hosts.items()}
    folder = lab.topology.parent
    _certify(Path(ssh["bravo"]["key"]), tmp_path)

    def sshd_config(host: str, **settings: str) -> Path:
        lines = (folder / "hosts" / host / "sshd_config").read_text().splitlines()
        kept = [line for line in lines if line.split()[0] not in settings]
        path = tmp_path / f"{host}_{len(settings)}"
        path.write_text("\n".join([*kept, *(f"{k} {v}" for k, v in settings.items())]) + "\n")
        return path

    def within(host: str, *command: str) -> str:
        return " ".join(["ip", "netns", "exec", lab.namespace(host), *command])

    listening = sshd_config("alpha", ListenAddress="127.0.0.1:2222", PidFile=str(tmp_path / "pid"))
    forwarding = sshd_config("alpha", AllowTcpForwarding="yes")
    # bravo knows no key, only who signs them.
    trusting = sshd_config(
        "bravo", AuthorizedKeysFile="none", TrustedUserCAKeys=str(tmp_path / "ca.pub")
    )
    server = subprocess.Popen(within("alpha", "/usr/sbin/sshd", "-D", "-f", str(listening)).split())
    path = tmp_path / "ssh_config"
    path.write_text(f"""\
Host *
    User root
    UserKnownHostsFile {ssh["alpha"]["known_hosts"]}
    IdentityFile {ssh["alpha"]["key"]}
    IdentitiesOnly yes
Host lab-a
    HostName 127.0.0.1
    Port 2222
    HostKeyAlias alpha
    ProxyJump jump
Host jump
    HostKeyAlias alpha
    ProxyCommand {within("alpha", "/usr/sbin/sshd", "-i", "-f", str(forwarding))}
Host lab-b
    HostKeyAlias bravo
    CertificateFile {tmp_path / "signed-cert.pub"}
    ProxyCommand {within("bravo", "/usr/sbin/sshd", "-i", "-f", str(trusting))}
""")
    path.chmod(0o600)
    eventually(lambda: ":2222" in lab.inside("alpha", "ss", "-lnt"))
    yield path
    server.terminate()
    server.wait()
    eventually(lambda: not lab.pids())


def _certify(key: Path, folder: Path) -> None:
    """Signs a user key; the certificate is not where it would be found without being named."""
    keygen = ["ssh-keygen", "-q"]
    subprocess.run([*keygen, "-t", "ed25519", "-N", "", "-f", folder / "ca"], check=True)
    (folder / "signed.pub").write_bytes(key.with_suffix(".pub").read_bytes())
    sign = ["-s", folder / "ca", "-I", "lab", "-n", "root", folder / "signed.pub"]
    subprocess.run([*keygen, *sign], check=True)


def test_hosts_named_only_in_the_configuration(config: Path, changed: Changed) -> None:
    def aliases(document: dict) -> None:  # type: ignore[type-arg]
        for host, alias in (("alpha", "lab-a"), ("bravo", "lab-b")):
            document["hosts"][host]["ssh"] = {"address": alias, "config": str(config)}

    started = time.monotonic()
    done = vxqual("check", changed(aliases))
    assert done.returncode == 0, done.stdout
    assert "ready" in done.stdout
    assert time.monotonic() - started < 60


def test_a_jump_host_that_forwards_nothing(config: Path, changed: Changed) -> None:
    config.write_text(config.read_text().replace("alpha_1", "alpha_2"))  # another sshd_config

    def aliases(document: dict) -> None:  # type: ignore[type-arg]
        document["hosts"]["alpha"]["ssh"] = {"address": "lab-a", "config": str(config)}

    done = vxqual("check", changed(aliases))
    assert done.returncode == 10, done.stdout
    assert "jump host jump opens no connection to 127.0.0.1 port 2222" in done.stdout

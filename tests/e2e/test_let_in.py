"""Nobody gets in through a run: where its password goes, and what its agents may do."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qualification.agent.privileges import KEPT

from .conftest import SMALL, SOME, Edit, Persistent, eventually, rows, vxqual

pytestmark = pytest.mark.lab

PASSWORD = "correct-horse-Fee1Dead"
Changed = Callable[[Edit], Path]


@pytest.fixture
def by_password(lab: Persistent, changed: Changed, tmp_path: Path) -> Path:
    """A topology of hosts that take root's password alone, from a shadow file of their own."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, which hashes the password for sshd")
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True
    ).stdout.strip()
    shadow = tmp_path / "shadow"
    shadow.write_text(f"root:{hashed}:20000:0:99999:7:::\nsshd:*:20000::::::\n")
    shadow.chmod(0o600)

    def let_in(document: dict) -> None:  # type: ignore[type-arg]
        for name, host in document["hosts"].items():
            lines = (lab.topology.parent / "hosts" / name / "sshd_config").read_text().splitlines()
            settings = {
                "PermitRootLogin": "yes", "PasswordAuthentication": "yes",
                "PubkeyAuthentication": "no", "AllowAgentForwarding": "yes",
            }  # fmt: skip
            kept = [line for line in lines if line.split()[0] not in settings]
            path = tmp_path / f"{name}_config"
            path.write_text("\n".join([*kept, *(f"{k} {v}" for k, v in settings.items())]) + "\n")
            inner = f"mount --bind {shadow} /etc/shadow && exec ip netns exec "
            inner += f"{lab.namespace(name)} /usr/sbin/sshd -i -e -f {path}"
            host["ssh"] |= {
                "proxy_command": f"unshare --mount sh -c {shlex.quote(inner)}",
                "password": "${LAB_PASSWORD}",
            }
            del host["ssh"]["key"]

    return changed(let_in)


@contextlib.contextmanager
def watching(look: Callable[[], object]) -> Iterator[None]:
    """Looks again and again, while its body runs."""
    end = threading.Event()

    def watch() -> None:
        while not end.wait(0.05):
            look()

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    end.set()
    thread.join()


def test_a_run_by_password_tells_it_to_nobody_and_its_agents_have_few_privileges(
    lab: Persistent, by_password: Path, tmp_path: Path
) -> None:
    before = lab.state()
    commands: set[bytes] = set()
    agents: dict[int, str] = {}

    def look() -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                commands.add((folder / "cmdline").read_bytes())
        for pid in lab.pids():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                if "NoNewPrivs:\t1" in status and "Umask:\t0077" in status:
                    agents[pid] = status

    out, allure = tmp_path / "out", tmp_path / "allure"
    with watching(look):
        done = vxqual(
            *("run", by_password, *SMALL, "--out", out, "--alluredir", allure, SOME, "-vvv"),
            *("--junitxml", tmp_path / "junit.xml", "-k", "all-on/outer4-csum/inner4/udp]"),
            LAB_PASSWORD=PASSWORD,
        )
    assert done.returncode == 0, done.stdout
    assert {cell["verdict"] for cell in rows(out).values()} == {"PASS"}
    eventually(lambda: not lab.pids())
    assert lab.state() == before

    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"vxqual.log", "matrix.json", "evidence.jsonl", "run.json"} <= {p.name for p in written}
    secret = PASSWORD.encode()
    assert not [path for path in written if secret in path.read_bytes()]
    assert PASSWORD not in done.stdout
    assert any(b"vxqual" in command for command in commands)
    assert not [command for command in commands if secret in command]
    assert "with the password" in (out / "latest/vxqual.log").read_text()

    kept = sum(1 << number for number in KEPT.values())
    assert len(agents) >= 2
    for status in agents.values():
        for name in ("CapEff", "CapPrm", "CapBnd"):
            (found,) = re.findall(rf"^{name}:\s+(\w+)$", status, re.M)
            assert int(found, 16) & ~kept == 0, status

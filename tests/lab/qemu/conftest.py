"""What the tests of the QEMU lab share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from qualification.errors import LabError
from qualification.lab.qemu import lab
from qualification.lab.qemu.image.prepare import prepare
from qualification.lab.qemu.lab import RunningQemuLab
from qualification.remote.ssh.connection import connect
from qualification.topology import Topology


def topology(*models: str, **lab_keys: object) -> Topology:
    """Give a topology of two guests with a NIC of each model, cabled to its like."""

    def nics(host: int) -> dict[str, object]:
        return {
            model: {"interface": f"p{number}", "underlay": [f"198.18.{number}.{host}/24"]}
            for number, model in enumerate(models)
        }

    return Topology.model_validate(
        {
            "version": 1,
            "hosts": {"alpha": {"nics": nics(1)}, "bravo": {"nics": nics(2)}},
            "pairs": {m: {"dut": f"alpha.{m}", "peer": f"bravo.{m}"} for m in models},
            "lab": {"kind": "qemu", "models": list(models), **lab_keys},
        }
    )


def ask(running: RunningQemuLab, host: str, command: str) -> str:
    """Run a command in a guest; give what it printed."""
    ssh = running.topology.hosts[host].ssh
    assert ssh
    with connect(host, ssh) as connection:
        done = connection.run(command, timeout=60.0)
    assert done.status == 0, done.stderr
    return done.stdout.decode()


@pytest.fixture(scope="session")
def guests() -> Callable[..., Topology]:
    """`guests("igb", ..., memory=...)`: a topology of two guests with a NIC of each model."""
    return topology


@pytest.fixture(scope="session")
def ready(guests: Callable[..., Topology]) -> None:
    """Skip where this machine cannot have what guests boot from."""
    wanted = guests("igb", "e1000e")
    try:
        found, models = lab.check(wanted)
        prepare(found, set(models.values()))
    except LabError as error:
        pytest.skip(f"needs QEMU and Debian's packages: {error}")


@pytest.fixture(scope="module")
def booted(ready: None, guests: Callable[..., Topology]) -> Iterator[RunningQemuLab]:
    """Two guests with an igb and an e1000e each."""
    with lab.start(guests("igb", "e1000e")) as running:
        yield running

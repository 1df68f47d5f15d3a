"""The QEMU lab's parts that need no QEMU."""

from __future__ import annotations

import lzma
import multiprocessing
import select
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qualification.errors import LabError, UsageError
from qualification.lab.qemu import lab, wiring
from qualification.lab.qemu.guest import GuestPlan, command
from qualification.lab.qemu.image import packages, store
from qualification.lab.qemu.image.cpio import archive
from qualification.lab.qemu.image.emulator import Qemu
from qualification.lab.qemu.image.kernel import Kernel
from qualification.lab.qemu.image.modules import Modules
from qualification.lab.qemu.image.prepare import Image
from qualification.lab.qemu.image.vmlinux import fastest, has_pvh_entry
from qualification.topology import QemuLab, Topology

Guests = Callable[..., Topology]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def elf(*notes: tuple[bytes, int]) -> bytes:
    """Give an ELF file of nothing but notes."""
    content = b"".join(
        struct.pack("<III", len(name), 4, kind)
        + name.ljust(len(name) + 3 & ~3, b"\0")
        + b"\1\0\0\0"
        for name, kind in notes
    )
    head = b"\x7fELF\2\1\1".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    table = struct.pack("<IIQQQQQQ", 4, 4, 120, 0, 0, len(content), len(content), 4)
    return head + table + content


def bzimage(payload: bytes) -> bytes:
    image = bytearray(0x400)
    image[0x1F1] = 1
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 16, len(payload))
    return bytes(image) + bytes(16) + payload


PVH, LINUX = (b"Xen\0", 18), (b"Linux\0", 6)


def test_the_pvh_entry_is_a_note() -> None:
    assert has_pvh_entry(elf(LINUX, PVH))
    assert not has_pvh_entry(elf(LINUX, (b"Xen\0", 5)))
    assert not has_pvh_entry(b"MZ")


def test_a_kernel_is_decompressed_only_where_qemu_can_start_it(tmp_path: Path) -> None:
    size = struct.pack("<I", 0)
    kernel = tmp_path / "bzImage"
    for content, wanted in ((elf(PVH), "vmlinux"), (elf(LINUX), "bzImage")):
        kernel.write_bytes(bzimage(lzma.compress(content) + size))
        assert fastest(kernel, tmp_path).name == wanted
    assert (tmp_path / "vmlinux").read_bytes() == elf(PVH)
    kernel.write_bytes(bzimage(b"a compression of the future"))
    assert fastest(kernel, tmp_path) == kernel
    kernel.write_bytes(elf(PVH))
    assert fastest(kernel, tmp_path) == kernel
    kernel.write_bytes(b"no kernel" * 100)
    with pytest.raises(LabError, match="neither a bzImage nor a vmlinux"):
        fastest(kernel, tmp_path)


@pytest.mark.real_drivers  # only what such a lab needs is installed for it
@pytest.mark.skipif(not shutil.which("busybox"), reason="needs busybox")
def test_busybox_unpacks_what_is_packed(tmp_path: Path) -> None:
    packed = archive(
        {"init": (0o755, b"#!x\n"), "a/b/c": (0o600, b"12345"), "a/empty": (0o644, b"")}
    )
    subprocess.run(["busybox", "cpio", "-i"], input=packed, cwd=tmp_path, check=True)
    assert (tmp_path / "a/b/c").read_bytes() == b"12345"
    assert (tmp_path / "a/empty").read_bytes() == b""
    assert (tmp_path / "init").stat().st_mode & 0o777 == 0o755
    assert len(packed) % 4 == 0


def make_modules(at: Path) -> Modules:
    dependencies = {
        "kernel/net/ipv4/udp_tunnel.ko.xz": "",
        "kernel/drivers/net/vxlan/vxlan.ko.xz": "kernel/net/ipv4/udp_tunnel.ko.xz",
        "kernel/drivers/dca/dca.ko.xz": "",
        "kernel/drivers/net/ethernet/igb.ko.xz": "kernel/drivers/dca/dca.ko.xz",
        "kernel/drivers/net/wireless/ath.ko.xz": "",
        "kernel/sound/snd.ko.xz": "",
        "kernel/fs/mbcache.ko.xz": "",
        "kernel/fs/jbd2.ko.xz": "",
        "kernel/fs/ext4.ko.xz": "kernel/fs/mbcache.ko.xz kernel/fs/jbd2.ko.xz",
    }
    for path in dependencies:
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        (at / path).write_bytes(b"x")
    lines = [f"{path}: {needed}".rstrip() for path, needed in dependencies.items()]
    (at / "modules.dep").write_text("\n".join(lines) + "\n")
    return Modules(at)


def test_modules_come_after_what_they_need(tmp_path: Path) -> None:
    modules = make_modules(tmp_path / "6.1.0")
    names = [path.name for path in modules.in_order(["virtio_pci", "ext4", "overlay", "jbd2"])]
    assert names == ["jbd2.ko.xz", "mbcache.ko.xz", "ext4.ko.xz"]


def test_a_guest_gets_the_network_modules_and_what_they_need(tmp_path: Path) -> None:
    make_modules(tmp_path / "6.1.0").copy(tmp_path / "copy")
    copied = {path.name for path in (tmp_path / "copy/6.1.0").rglob("*.ko.xz")}
    boot = {"mbcache.ko.xz", "jbd2.ko.xz", "ext4.ko.xz"}
    assert copied == {"udp_tunnel.ko.xz", "vxlan.ko.xz", "dca.ko.xz", "igb.ko.xz"} | boot
    assert Modules(tmp_path / "copy/6.1.0").version == "6.1.0"


def test_no_directory_of_modules(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="is no directory of kernel modules"):
        Modules(tmp_path)


def test_what_is_kept_is_made_once(cache: Path) -> None:
    made: list[Path] = []

    def make(into: Path) -> None:
        made.append(into)
        (into / "it").write_text("whole")

    first = store.kept("root", {"suite": "a"}, make)
    assert store.kept("root", {"suite": "a"}, make) == first
    assert store.kept("root", {"suite": "b"}, make) != first
    assert len(made) == 2
    assert (first / "it").read_text() == "whole"
    assert all(not path.exists() for path in made)


def test_what_fails_half_way_is_not_kept(cache: Path) -> None:
    left = cache / "vxqual/images/.new-root-of-a-process-that-was-killed"
    left.mkdir(parents=True)

    def fail(into: Path) -> None:
        (into / "half").touch()
        raise LabError("no")

    with pytest.raises(LabError):
        store.kept("root", {}, fail)
    assert [path.name for path in store.directory().iterdir()] == [".lock-root"]


def _slowly(count: Path) -> None:
    def make(into: Path) -> None:
        with count.open("a") as file:
            file.write("made\n")
        (into / "it").touch()

    assert (store.kept("kernel", {}, make) / "it").exists()


def test_processes_wait_for_the_one_that_makes_it(tmp_path: Path) -> None:
    count = tmp_path / "count"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_slowly, args=(count,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
        assert process.exitcode == 0
    assert count.read_text() == "made\n"


def test_the_two_ends_of_a_cable_know_each_other(guests: Guests) -> None:
    topology = guests("igb", "virtio-net")
    assert isinstance(topology.lab, QemuLab)
    ends = {
        wire.nic: wire for host in wiring.wires(topology, topology.lab).values() for wire in host
    }
    with wiring.cables(ends.values()) as sockets:
        assert list(sockets) == ["alpha.igb", "bravo.igb", "alpha.virtio-net", "bravo.virtio-net"]
        for model in ("igb", "virtio-net"):
            one, other = (sockets[f"{host}.{model}"] for host in ("alpha", "bravo"))
            one.send(b"a frame")
            other.send(b"another")
            assert (other.recv(100), one.recv(100)) == (b"a frame", b"another")
    assert len({wire.mac for wire in ends.values()}) == 4
    assert all(int(wire.mac[:2], 16) & 3 == 2 for wire in ends.values())  # local, unicast
    words = ends["alpha.virtio-net"].arguments(7)
    assert words[1] == "dgram,id=wire1,local.type=fd,local.str=7"
    assert "virtio-net-pci,netdev=wire1," in words[3]


def test_a_cable_that_is_full_is_not_ready_to_send(guests: Guests) -> None:
    """QEMU waits until it is, and would else try again and again."""
    topology = guests("igb")
    assert isinstance(topology.lab, QemuLab)
    (one,), (other,) = wiring.wires(topology, topology.lab).values()
    with wiring.cables([one, other]) as sockets:
        sender = sockets[one.nic]
        sender.setblocking(False)
        sent = 0
        with pytest.raises(BlockingIOError):
            while True:
                sent += sender.send(bytes(1500))
        assert select.select([], [sender], [], 0)[1] == []
        while sent:
            sent -= len(sockets[other.nic].recv(2000))
        assert select.select([], [sender], [], 20)[1] == [sender]


def test_one_cable_to_a_nic(guests: Guests) -> None:
    data = guests("igb").model_dump(mode="json")
    data["hosts"]["bravo"]["nics"]["e1000e"] = {"interface": "p1", "underlay": ["198.18.0.3/24"]}
    data["pairs"]["more"] = {"dut": "alpha.igb", "peer": "bravo.e1000e"}
    data["lab"]["models"].append("e1000e")
    with pytest.raises(UsageError, match=r"alpha\.igb is to be joined with bravo\.igb and with"):
        lab.check(Topology.model_validate(data))


def test_the_model_of_a_nic(guests: Guests) -> None:
    data = guests("igb", "e1000e").model_dump(mode="json")
    data["lab"] = {"kind": "qemu", "models": ["igb"], "nics": {"alpha.e1000e": "e1000"}}
    found = Topology.model_validate(data)
    assert isinstance(found.lab, QemuLab)
    assert wiring.model_of(found.lab, "alpha.igb") == "igb"
    assert wiring.model_of(found.lab, "alpha.e1000e") == "e1000"
    with pytest.raises(UsageError, match=r"the model of bravo\.e1000e is not given"):
        lab.check(found)


def test_the_name_of_the_management_interface_is_taken(guests: Guests) -> None:
    data = guests("igb").model_dump(mode="json")
    data["hosts"]["alpha"]["nics"]["igb"]["interface"] = "mgmt"
    with pytest.raises(UsageError, match=r"hosts\.alpha\.nics\.igb\.interface: mgmt is"):
        lab.check(Topology.model_validate(data))


def test_a_guest_shares_its_disks_and_listens_on_this_machine_alone(guests: Guests) -> None:
    topology = guests("igb")
    assert isinstance(topology.lab, QemuLab)
    ends = wiring.wires(topology, topology.lab)["alpha"]
    kernel = Kernel(Path("/k/vmlinux"), None, None, "")
    image = Image(Qemu("/q", "10.0", frozenset()), kernel, Path("/r/root.img"))
    plan = GuestPlan("alpha", Path("/run/lab"), tuple(ends), 256, 2)
    words = command(plan, image, "tcg", {"alpha.igb": 7})
    text = " ".join(words)
    assert "file=/r/root.img,format=raw,read-only=on" in text
    assert "ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:0-:22" in text
    assert "-accel tcg" in text
    assert "-m 256M" in text
    assert words[words.index("-smp") + 1] == "2"


def test_the_archive_is_the_one_that_this_machine_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    told = (
        "Debian main bookworm mirror:one/\nDebian main bookworm-security mirror:safe/\n"
        "Other main x mirror:other/\nDebian contrib bookworm mirror:one/\n"
    )
    monkeypatch.setattr(packages, "ran", lambda *_words: told)
    entries = [line.split("] ")[1] for line in packages.sources_of(("bookworm",)).splitlines()]
    assert entries == ["mirror:one/ bookworm main", "mirror:safe/ bookworm-security main"]
    entries = packages.sources_of(("bookworm-backports",)).splitlines()
    assert len(entries) == 1
    monkeypatch.setattr(packages, "ran", lambda *_words: "Other main x mirror:other/\n")
    with pytest.raises(LabError, match="knows no Debian archive"):
        packages.sources_of(("bookworm",))


def test_a_program_that_is_missing_is_named_with_its_package() -> None:
    with pytest.raises(LabError, match="there is no `no-such-program`"):
        packages.ran("no-such-program")
    with pytest.raises(LabError, match="`false` failed: exit code 1"):
        packages.ran("false")

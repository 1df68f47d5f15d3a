"""A guest's initramfs: how it gets to its root file system, and what sets it apart from others."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from qualification.errors import LabError

from .cpio import archive
from .modules import BOOT, Modules

_HERE = Path(__file__).parent


def initrd(
    modules: Modules | None,
    *,
    hostname: str,
    interfaces: Mapping[str, str],
    host_key: Path,
    authorized_keys: Path,
) -> bytes:
    """Makes a guest's initramfs.

    Args:
        modules: The kernel's modules; None where it needs none.
        hostname: The guest's name.
        interfaces: What its interfaces are to be called, by MAC address.
        host_key: Its SSH host key.
        authorized_keys: The public keys that open it.

    Raises:
        LabError: There is no busybox that needs no libraries.
    """
    order = modules.in_order(BOOT) if modules else []
    loaded = {_plain_name(path): _uncompressed(path) for path in order}
    names = "".join(f"{mac} {name}\n" for mac, name in interfaces.items())
    files: dict[str, tuple[int, bytes]] = {
        "init": (0o755, (_HERE / "guest_init.sh").read_bytes()),
        "bin/busybox": (0o755, _busybox().read_bytes()),
        "modules/order": (0o644, "".join(f"{name}\n" for name in loaded).encode()),
        **{f"modules/{name}": (0o644, content) for name, content in loaded.items()},
        "guest/start": (0o755, (_HERE / "guest_start.sh").read_bytes()),
        "guest/hostname": (0o644, hostname.encode()),
        "guest/interfaces": (0o644, names.encode()),
        "guest/host_key": (0o600, host_key.read_bytes()),
        "guest/authorized_keys": (0o600, authorized_keys.read_bytes()),
        "guest/sshd_config": (0o644, _SSHD_CONFIG.encode()),
    }
    return archive(files)


_SSHD_CONFIG = """\
HostKey /vxqual/host_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
AllowTcpForwarding no
X11Forwarding no
PrintMotd no
PrintLastLog no
PidFile none
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
"""


def _busybox() -> Path:
    found = shutil.which("busybox")
    if not found:
        raise LabError("there is no `busybox`", hint="install the package busybox-static")
    # PT_INTERP names the dynamic loader; a guest has none yet.
    if b"/ld-linux" in Path(found).read_bytes():
        raise LabError(
            "needs libraries, which an initramfs does not have",
            where=found,
            hint="install the package busybox-static",
        )
    return Path(found)


def _plain_name(path: Path) -> str:
    return path.name.partition(".ko")[0] + ".ko"


def _uncompressed(path: Path) -> bytes:
    content = path.read_bytes()
    match path.suffix:
        case ".xz":
            return lzma.decompress(content)
        case ".gz":
            return gzip.decompress(content)
        case ".zst":
            command = ["zstd", "-d", "-c", str(path)]
            return subprocess.run(command, capture_output=True, check=True).stdout
    return content

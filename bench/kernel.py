"""The verifier in C, without files and processes, compared with a plain sum of the memory.

Run as a module, it measures both in one process, in turn, over the same warm memory:

    python -m bench.kernel SHARED_OBJECT CAPTURE ROUNDS
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from qualification.errors import LabError
from qualification.stack.capture import count_capture
from qualification.stack.native_walk import native
from qualification.wire.capture_reader import Window
from qualification.wire.pcap import PcapReader

from .frames import LARGE, VXLAN_PORT
from .processes import own_code, run
from .rows import Row, Side, at_least
from .setting import Setting


def speed(setting: Setting) -> Iterator[Row]:
    """Yields bytes per CPU second of the verifier in C, and of a loop in C over 64-bit words."""
    if native().library is None:
        raise LabError(f"there is no verifier in C: {native().says}")
    path = setting.capture(LARGE, 20_000 if setting.quick else 1_000_000)
    built = setting.scratch / "plain_sum.so"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    source = Path(__file__).with_name("plain_sum.c")
    run([*compiler, "-std=gnu11", "-O3", "-shared", "-fPIC", "-o", str(built), str(source)])
    setting.say(f"verifier in C and plain sum: {setting.rounds} rounds")
    command = own_code("bench.kernel", str(built), str(path), str(setting.rounds))
    found = json.loads(run(command, keep=True).output)
    yield Row(
        work=f"verifier in C, {LARGE.name} inner, against a plain sum",
        unit="GB/CPU-s",
        ours=Side("verifier", tuple(found["verifier"])),
        peer=Side("plain sum", tuple(found["sum"])),
        bar=at_least(0.6),
        limit="Memory: both read every byte once, from memory that is larger than any cache of a "
        "core; the verifier has headers to read between the sums.",
    )


class _Memory(Window):
    """A window on a capture that is entirely in memory."""

    def __init__(self, content: bytearray) -> None:
        super().__init__(io.BytesIO())
        self.data, self.end = content, len(content)

    def has(self, length: int) -> bool:
        """See `Window`."""
        return self.end - self.at >= length

    def read_on(self) -> bool:
        """See `Window`; there is nothing to read on."""
        return False


def _measure(shared_object: str, capture: Path, rounds: int) -> dict[str, list[float]]:
    content = bytearray(capture.stat().st_size)
    with capture.open("rb", buffering=0) as file, memoryview(content) as view:
        read = 0
        while read < len(content):
            read += file.readinto(view[read:])
    add_up = ctypes.CDLL(shared_object).plain_sum
    add_up.argtypes, add_up.restype = (ctypes.c_void_p, ctypes.c_size_t), ctypes.c_uint64
    address = ctypes.addressof(ctypes.c_char.from_buffer(content))

    def plain_sum() -> None:
        add_up(address, len(content) // 8)

    def verifier() -> None:
        found = count_capture(PcapReader(_Memory(content), "<"), frozenset({VXLAN_PORT}))
        assert found.outcomes and not found.kept and found.trouble is None

    works: dict[str, Callable[[], None]] = {"verifier": verifier, "sum": plain_sum}
    rates: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            if number:
                rates[name].append(len(content) / 1e9 / (time.process_time() - start))
    return rates


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))

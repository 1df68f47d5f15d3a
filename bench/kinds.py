"""The kinds of benchmarks, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import cells, generator, kernel, live, pairs, softnic, verify
from .rows import Row
from .setting import Setting


@dataclass(frozen=True)
class Kind:
    """Rows that are measured together.

    Attributes:
        title: A heading.
        about: What is measured, and how.
        minutes: The approximate time of five rounds on two cores.
        measure: Yields its rows.
        by_default: Whether it runs if no kinds are named.
    """

    title: str
    about: str
    minutes: float
    measure: Callable[[Setting], Iterator[Row]]
    by_default: bool = True


KINDS: dict[str, Kind] = {
    "verify": Kind(
        "vxqual verify",
        "A capture file of a million VXLAN frames, every checksum of which is right, in the page "
        "cache. `vxqual verify FILE` checks all of them, outside and inside; so does "
        "`tcpdump -nn -vvv -r FILE`, its output going to /dev/null. tshark gets the first 200,000 "
        "of the frames, with its checks on and TCP analysis and reassembly off, and is compared "
        "by the frame: once it prints the status of each checksum (`-T fields`), once the wrong "
        "frames only (`-Y`). Lengths are those of the inner IP packets; half are TCP, half "
        "UDP, in thousands of flows.",
        6,
        verify.against_tcpdump_and_tshark,
    ),
    "mixed": Kind(
        "vxqual verify on a mixed capture",
        "A capture file as people have them: plain TCP and UDP of all lengths, VLANs, VXLAN, "
        "Geneve, GRE, GTP-U, ICMP, ARP, and one fragment in a thousand frames. With --frames and "
        "--json, one frame in a hundred is wrong. tcpdump and tshark are run as above; tshark gets "
        "the first 200,000 of a million frames, and is compared by the frame.",
        3,
        verify.mixed,
    ),
    "answer": Kind(
        "The answer on a small file",
        "`vxqual verify` of 1,000 frames from its start to its end, by the clock, compared with "
        "a Python that does nothing.",
        0.2,
        verify.answer,
    ),
    "memory": Kind(
        "Memory",
        "The most memory that `vxqual verify` had resident at any time, less what "
        "`python -c pass` had.",
        0.3,
        verify.memory,
    ),
    "kernel": Kind(
        "The verifier in C",
        "One and a half gigabytes of frames in the warm memory of one process, no file and no "
        "start of a process in it: the verifier that all others use, and a loop in C "
        "(`bench/plain_sum.c`, -O3) that adds up the same memory as 64-bit words, by CPU time.",
        0.3,
        kernel.speed,
    ),
    "live": Kind(
        "Capturing and verifying live",
        "Frames arrive at an interface at a pace. The capture of vxqual's agent judges each where "
        "the kernel has put it; `tcpdump -w FILE` writes them to a file, and judges none. Both "
        "get the same frames at the same pace, one after the other, with a ring of 64 MiB. CPU "
        "time is that of the whole process from start to end; what the kernel does for either "
        "before that is the sender's. Lengths are those of the inner IP packets.",
        5.5,
        live.against_tcpdump,
    ),
    "generator": Kind(
        "The traffic generator",
        "Datagrams a second, by the clock, into a VXLAN device on a NIC that drops them: by the "
        "agent's generator, whose datagrams carry numbers and a payload that can be checked, and "
        "by a plain loop of `sendto` in Python.",
        0.7,
        generator.against_sendto,
    ),
    "softnic": Kind(
        "The soft NIC",
        "Payload of one TCP stream through a VXLAN with outer checksums, between two hosts of the "
        "loopback lab with all offloads on, by the clock: segmented and summed in C, and in "
        "Python. It is sent from the page cache (sendfile) and dropped unread (MSG_TRUNC), so that "
        "the ends take little of the CPUs that all share.",
        1,
        softnic.bulk,
    ),
    "plan": Kind(
        "A plan",
        "`vxqual run --plan standard` on topologies/loopback.yaml, as a whole process, by the "
        "clock. Overhead is all the time from start to matrix in which no sender sent, start, lab, "
        "controls and symptom included, by the number of cells.",
        5,
        cells.standard_plan,
    ),
    "excluding": Kind(
        "A low rate",
        "One cell that excludes a corruption rate of 1e-4 at 99.9 %, which takes 69,075 clean "
        "frames, on the loopback lab with all offloads on: its test, as pytest times it. Controls "
        "ran before.",
        2,
        cells.excluding,
    ),
    "pairs": Kind(
        "Many pairs",
        "`vxqual run --plan quick -n auto` on loopback labs of 1, 8 and 32 pairs, whose NICs are "
        "all different, as a whole process, by the clock. All of them are on this one machine.",
        30,
        pairs.side_by_side,
        by_default=False,
    ),
}

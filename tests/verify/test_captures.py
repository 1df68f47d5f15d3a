"""What is said of the captures in `captures`; their docstrings say why."""

from pathlib import Path

import pytest

from qualification.verify.command import verify_files

from . import captures

SAID = {
    "c01_mixed_links": (1, ["1 of 2 frames is wrong", "frame 1: inner TCP checksum is 0x"]),
    "c03_plain_all_right": (0, ["all 1 frame right; no VXLAN among them"]),
    "c04_geneve_inner_wrong": (1, ["1 of 2 frames is wrong", "frame 2: inner TCP", "Geneve > TCP"]),
    "c07_offload_signature": (
        1,
        ["2 of 3 frames are wrong (1 wrong value, 1 never filled in)",
         "frame 2: inner TCP checksum was never filled in", "frame 3: inner TCP checksum is 0x"],
    ),
    "c08_routing_header": (0, ["all 2 frames right"]),
    "c11_not_called_ip": (
        1,
        ["3 of 4 frames are wrong (3 wrong value)",
         "frame 2: TCP", "frame 3: TCP", "frame 4: TCP"],
    ),
    "c13_fragmented_tunnel": (
        1, ["1 of 3 frames is wrong", "frames 2, 3 (fragments of a datagram): inner TCP checksum"],
    ),
    "c17_link_null": (1, ["1 of 1 frame is wrong", "frame 1: inner TCP"]),
    "c19_sctp": (1, ["1 of 2 frames is wrong", "frame 2: SCTP checksum is 0x"]),
    "c20_8472_not_seen": (
        1, ["1 of 2 frames is wrong", "frame 2: inner TCP", "VXLAN was noticed on UDP port 8472"],
    ),
    "c22_receiver_with_gro": (
        0,
        ["1 of 2 frames right, none wrong on the wire; 1 merged by GRO/LRO",
         "ethtool -K IF gro off lro off rx-gro-hw off"],
    ),
}  # fmt: skip


def test_every_capture_is_here() -> None:
    made = {name for name in vars(captures) if name[:1] == "c" and name[1:3].isdigit()}
    assert made == set(SAID)


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("implementation", ["native", "reference"])
def test_what_is_said(
    name: str, implementation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if implementation == "reference":
        monkeypatch.setattr("qualification.stack.capture.NativeCounting.of", lambda *_: None)
    path = tmp_path / name
    path.write_bytes(getattr(captures, name)())
    lines: list[str] = []
    code, texts = SAID[name]
    assert verify_files([path], echo=lines.append) == code
    said = "\n".join(lines)
    for text in texts:
        assert text in said

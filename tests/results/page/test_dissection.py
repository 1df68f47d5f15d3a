"""Frames byte by byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qualification.results.page.dissection import dissected
from qualification.results.page.evidence_model import PageField, PageFrame
from qualification.wire.verify import check, explain

from .conftest import tunnel_frame

FRAME = tunnel_frame()


def fields(frame: PageFrame, name: str) -> dict[str, PageField]:
    (section,) = (one for one in frame.sections if one.name == name)
    return {field.name: field for field in section.fields}


def test_the_wrong_field_has_the_right_value_beside_it() -> None:
    frame = dissected(FRAME, explain(FRAME), 4789)
    assert [section.name for section in frame.sections] == [
        *("Ethernet", "outer IPv4", "outer UDP", "VXLAN"),
        *("inner Ethernet", "inner IPv4", "inner TCP", "payload"),
    ]
    states = {section.name: section.state for section in frame.sections}
    assert states["outer UDP"] == "bad"
    assert states["outer IPv4"] == states["inner IPv4"] == states["inner TCP"] == "good"
    ((where, wrong),) = ((s.name, f) for s in frame.sections for f in s.fields if f.should)
    assert (where, wrong.name, wrong.text) == ("outer UDP", "checksum", "0x1234")
    # With the value that it names, the frame is right.
    assert check(tunnel_frame(outer_sum=int(wrong.should, 16))).bad == 0
    assert fields(frame, "VXLAN")["VNI"].text == "22128"
    assert fields(frame, "outer UDP")["destination port"].text == "4789"
    assert fields(frame, "inner IPv4")["source address"].text == "10.0.0.1"
    assert fields(frame, "inner TCP")["flags"].text == "0x10 ACK"
    assert fields(frame, "inner IPv4")["protocol"].text == "6 TCP"
    assert frame.length == len(FRAME)
    assert FRAME.hex().startswith(frame.hex)
    assert len(frame.hex) // 2 < len(FRAME), "of the payload, only the beginning is kept"


def test_a_finding_marks_the_field_that_it_names_inside_the_tunnel() -> None:
    finding = "TCP flags are 0x10, should be 0x18"
    findings = ["it is not one of the expected frames", finding]
    frame = dissected(tunnel_frame(outer_sum=0), findings, 4789)
    assert fields(frame, "inner TCP")["flags"].should == "0x18"
    assert [s.name for s in frame.sections if s.state == "bad"] == ["inner TCP"]
    assert frame.findings == tuple(findings)


def test_an_outer_field_is_not_taken_for_the_inner_one() -> None:
    finding = "outer TTL is 0x40, should be 0x3f"
    frame = dissected(tunnel_frame(outer_sum=0), [finding], 4789)
    assert fields(frame, "outer IPv4")["TTL"].should == "0x3f"
    assert fields(frame, "inner IPv4")["TTL"].should == ""


def test_plain_traffic_has_no_sides() -> None:
    names = [section.name for section in dissected(tunnel_frame(outer_sum=0), [], 0).sections]
    assert names == ["Ethernet", "IPv4", "UDP", "payload"]


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda at, new: FRAME[:at] + new + FRAME[at + len(new) :],
        st.integers(0, 160),
        st.binary(min_size=1, max_size=8),
    )
    | st.integers(0, 160).map(lambda end: FRAME[:end]),
    st.sampled_from([0, 4789]),
)
def test_any_bytes_are_dissected(data: bytes, port: int) -> None:
    """Parts follow each other without a gap, and fields lie inside their part."""
    frame = dissected(data, explain(data), port)
    at = 0
    for section in frame.sections:
        assert section.start == at <= section.end <= len(data), frame.sections
        at = section.end
        for field in section.fields:
            assert section.start <= field.start < field.end <= section.end, (section, field)
    assert at == len(data), frame.sections

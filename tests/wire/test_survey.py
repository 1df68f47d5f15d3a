import pytest

from qualification.wire.survey import FlowKey, LayerTally, survey, verdict_of
from qualification.wire.verify import check


@pytest.fixture
def frames(shapes):
    good = shapes["4in4-tcp-100"]
    bad = good[:-1] + bytes([good[-1] ^ 1])
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    six = shapes["6in6-noudpcsum"]
    return [(f, len(f)) for f in (good, bad, arp, six, bad)] + [(good[:110], len(good))]


def test_counts(frames):
    found = survey(frames)
    assert (found.frames, found.right, found.wrong, found.unjudged, found.not_ip) == (6, 2, 2, 1, 1)
    assert (found.tunnelled, found.proven) == (5, 4)
    assert found.reasons == {"truncated": 1}
    assert found.layers == {
        "outer IP": LayerTally(4, 0, 0, 0),
        "outer L4": LayerTally(1, 2, 1, 1),
        "VXLAN": LayerTally(5, 0, 0, 0),
        "inner IP": LayerTally(4, 0, 0, 0),
        "inner L4": LayerTally(2, 2, 0, 1),
    }


def test_flows_with_most_wrong_frames_come_first(frames):
    first, second = survey(frames).flows
    assert first.flow == FlowKey(bytes([192, 0, 2, 1, 192, 0, 2, 2]), 7001, 4, 6)
    assert (first.frames, first.wrong, first.unjudged) == (4, 2, 1)
    assert (len(second.flow.source), second.flow.inner_family, second.flow.protocol) == (16, 6, 17)


def test_bad_frames_are_kept_with_their_numbers(frames):
    found = survey(frames, keep=1)
    (bad,) = found.bad_frames
    assert (bad.number, bad.frame, bad.wire_length) == (2, *frames[1])
    assert bad.sentences[0].startswith("outer UDP checksum is 0x")
    assert found.wrong == 2
    assert [bad.number for bad in survey(frames).bad_frames] == [2, 5]


def test_each_frame_is_shown_to_those_who_ask(frames):
    seen = []
    survey(frames, each=lambda number, checked: seen.append((number, verdict_of(checked))))
    assert seen == list(enumerate(["right", "wrong", "not-ip", "right", "wrong", "unjudged"], 1))


def test_nothing():
    found = survey([])
    assert (found.frames, found.proven, found.flows, found.bad_frames) == (0, 0, (), ())


def test_runt_cut_by_the_snap_length_is_unjudged():
    assert verdict_of(check(bytes(10), 60)) == "unjudged"
    assert verdict_of(check(bytes(10))) == "not-ip"

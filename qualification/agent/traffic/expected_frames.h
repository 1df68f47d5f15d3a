/* The expected frames of a crafted packet set, and the comparison of received frames with them: the
 * native implementation of expected_frames.py, for native_capture.c. */

#ifndef VX_EXPECTED_FRAMES_H
#define VX_EXPECTED_FRAMES_H

#include "wire/verify.h"

/* The memory of an `ExpectedFrames`: both implementations see which frames were received. */
struct expected {
    const u8 *frames;       /* all frames, one behind the other, in the form that canonical() makes */
    const u32 *starts;      /* offset of each frame, and the end of the last one */
    i32 *came;              /* for each frame: the IPv4 id with which it was received; -1: not yet */
    const u32 *firsts;      /* for each packet: its first frame; then the number after the last frame */
    const u8 *fragmentable; /* for each packet: whether the ids of its frames must differ */
    u64 *outer;             /* for each packet: the outer fields of its frames; 0: none received yet */
    u32 first_port;         /* source port of the first packet; the others have the next ones */
    u32 crafted_packets;
    u32 tunnel;
};

/* The result of comparing a frame with them. */
struct held {
    u64 outer;           /* 0: not looked at */
    u32 crafted, number; /* the packet and the frame that it is, */
    i32 ident;           /* unless this is -1: it is not one of the frames still expected */
    int wrong;
};

#define NOT_HELD ((struct held){.ident = -1})

/* Returns whether two frames are equal except for 16-bit fields that are zero in the expected one. */
static int same_but(const u8 *found, const u8 *expected, i64 length, const i64 *fields, int count)
{
    i64 at = 0;
    for (int i = 0; i < count; at = fields[i++] + 2)
        if (!equal(found + at, expected + at, (size)(fields[i] - at)) || LOAD(u16, expected + fields[i]))
            return 0;
    return equal(found + at, expected + at, (size)(length - at));
}

/* Finds a frame, by all of its bytes, among those of its packet that were not received yet. */
static int find_expected(const struct expected *expected, struct frame frame, const struct judged *found,
                    const struct packet *packet, struct held *held)
{
    /* ExpectedFrames._stripped */
    i64 start = expected->tunnel ? found->vxlan + 8 : 0;
    i64 end = expected->tunnel ? found->outer.end : packet->end;
    if (end > frame.captured)
        end = frame.captured;
    i64 fields[3], length = end - start;
    int count = 0;
    if (packet->family == 4) {
        fields[count++] = packet->start - start + 4;
        fields[count++] = packet->start - start + 10;
    }
    i64 checksum = packet->l4 - start + (packet->protocol == TCP ? 16 : 6);
    if (checksum + 2 <= length)
        fields[count++] = checksum;

    for (u32 number = expected->firsts[held->crafted]; number < expected->firsts[held->crafted + 1]; number++) {
        const u8 *other = expected->frames + expected->starts[number];
        if (expected->came[number] < 0 && expected->starts[number + 1] - expected->starts[number] == length &&
            same_but(frame.bytes + start, other, length, fields, count)) {
            held->number = number;
            held->ident = packet->family == 4 ? (i32)u16_at(frame.bytes + packet->start + 4) : 0;
            return 1;
        }
    }
    return 0;
}

static int ident_is_taken(const struct expected *expected, const struct held *held)
{
    if (!expected->fragmentable[held->crafted])
        return 0;
    for (u32 number = expected->firsts[held->crafted]; number < expected->firsts[held->crafted + 1]; number++)
        if (expected->came[number] == held->ident)
            return 1;
    return 0;
}

/* ExpectedFrames._outer_fields */
static u64 outer_fields(struct frame frame, const struct packet *outer)
{
    const u8 *header = frame.bytes + outer->start;
    u64 fields = (u64)outer->family << 56 | (u64)(u32)outer->source_port << 40;
    if (outer->family == 4)
        return fields | (u64)header[1] << 24 | (u32_at(header + 5) & 0xffffff);
    return fields | (u64)u32_at(header) << 8 | header[7];
}

/* ExpectedFrames.differs for a frame of the burst. It counts nothing; come() does. */
static struct held hold(const struct expected *expected, struct frame frame, const struct judged *found)
{
    const struct packet *packet = expected->tunnel ? &found->inner : &found->outer;
    struct held held = NOT_HELD;
    held.wrong = 1;
    if (!packet->family || packet->source_port < 0)
        return held; /* an IP fragment */
    held.crafted = (u32)packet->source_port - expected->first_port; /* a lower port wraps around */
    if (held.crafted >= expected->crafted_packets || !find_expected(expected, frame, found, packet, &held) ||
        ident_is_taken(expected, &held))
        return held;
    if (expected->tunnel) {
        const u8 *vxlan = frame.bytes + found->vxlan;
        if (u32_at(vxlan) != 0x08000000 || vxlan[7])
            return held;
        held.outer = outer_fields(frame, &found->outer);
        if (expected->outer[held.crafted] && expected->outer[held.crafted] != held.outer)
            return held;
    }
    held.wrong = 0;
    return held;
}

/* Counts a frame as received. */
static void come(const struct expected *expected, const struct held *held)
{
    if (held->ident < 0)
        return;
    expected->came[held->number] = held->ident;
    if (held->outer && !expected->outer[held->crafted])
        expected->outer[held->crafted] = held->outer;
}

#endif

/* The expected frames of a crafted packet set, and the comparison of received frames with them, as
 * in expected_frames.py. */

#ifndef VX_EXPECTED_FRAMES_H
#define VX_EXPECTED_FRAMES_H

#include "wire/verify.h"

/* The memory of an ExpectedFrames, which C and Python share: a frame that one of them has recorded
 * is recorded for the other as well. */
struct expected {
    const u8 *frames;        /* all frames, concatenated, in the form of crafted.packet.canonical */
    const u32 *starts;       /* where each frame starts, and where the last one ends */
    i32 *received_ids;       /* of each frame: the IPv4 id it was received with; -1: not received */
    const u32 *first_frames; /* of each crafted packet: its first frame; then the count of frames */
    const u8 *fragmentable;  /* of each crafted packet: the ids of its frames must differ */
    u64 *outer;              /* of each crafted packet: outer fields of its frames; 0: none received */
    u32 first_port;          /* source port of the first crafted packet; the others follow it */
    u32 crafted_packets;
    u32 tunnel;
};

/* The outcome of comparing a received frame with the expected ones. */
struct match {
    u64 outer;           /* outer fields; 0: not compared */
    u32 crafted, number; /* the crafted packet, and the expected frame */
    i32 id;              /* IPv4 id, 0 over IPv6; -1: no frame that is still expected */
    int wrong;
};

#define NO_MATCH ((struct match){.id = -1})

/* Returns whether a frame equals an expected one, except for 16-bit fields that are zero in the
 * expected one. */
static int equal_except(const u8 *found, const u8 *expected, i64 length, const i64 *fields, int count)
{
    i64 at = 0;
    for (int i = 0; i < count; at = fields[i++] + 2)
        if (!equal(found + at, expected + at, (size)(fields[i] - at)) || LOAD(u16, expected + fields[i]))
            return 0;
    return equal(found + at, expected + at, (size)(length - at));
}

/* Finds a frame among those of its crafted packet that are still expected, by all of its bytes. */
static int find_expected(const struct expected *expected, struct frame frame,
                         const struct judged *found, const struct packet *packet,
                         struct match *match)
{
    /* Implements ExpectedFrames._stripped. */
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

    for (u32 number = expected->first_frames[match->crafted];
         number < expected->first_frames[match->crafted + 1]; number++) {
        const u8 *other = expected->frames + expected->starts[number];
        if (expected->received_ids[number] < 0 &&
            expected->starts[number + 1] - expected->starts[number] == length &&
            equal_except(frame.bytes + start, other, length, fields, count)) {
            match->number = number;
            match->id = packet->family == 4 ? (i32)u16_at(frame.bytes + packet->start + 4) : 0;
            return 1;
        }
    }
    return 0;
}

/* Returns whether another frame of the crafted packet was received with the same IPv4 id, where the
 * ids must differ. */
static int id_is_repeated(const struct expected *expected, const struct match *match)
{
    if (!expected->fragmentable[match->crafted])
        return 0;
    for (u32 number = expected->first_frames[match->crafted];
         number < expected->first_frames[match->crafted + 1]; number++)
        if (expected->received_ids[number] == match->id)
            return 1;
    return 0;
}

/* Implements expected_frames._outer_fields. */
static u64 outer_fields(struct frame frame, const struct packet *outer)
{
    const u8 *header = frame.bytes + outer->start;
    u64 fields = (u64)outer->family << 56 | (u64)(u32)outer->source_port << 40;
    if (outer->family == 4)
        return fields | (u64)header[1] << 24 | (u32_at(header + 5) & 0xffffff);
    return fields | (u64)u32_at(header) << 8 | header[7];
}

/* Implements ExpectedFrames.check_off for a frame of the burst, but records nothing: record_match
 * does. */
static struct match match_frame(const struct expected *expected, struct frame frame,
                                const struct judged *found)
{
    const struct packet *packet = expected->tunnel ? &found->inner : &found->outer;
    struct match match = NO_MATCH;
    match.wrong = 1;
    if (!packet->family || packet->source_port < 0)
        return match; /* an IP fragment */
    match.crafted = (u32)packet->source_port - expected->first_port; /* wraps around below it */
    if (match.crafted >= expected->crafted_packets ||
        !find_expected(expected, frame, found, packet, &match) ||
        id_is_repeated(expected, &match))
        return match;
    if (expected->tunnel) {
        const u8 *vxlan = frame.bytes + found->vxlan;
        if (u32_at(vxlan) != 0x08000000 || vxlan[7])
            return match;
        match.outer = outer_fields(frame, &found->outer);
        if (expected->outer[match.crafted] && expected->outer[match.crafted] != match.outer)
            return match;
    }
    match.wrong = 0;
    return match;
}

/* Records a frame that match_frame has found. */
static void record_match(const struct expected *expected, const struct match *match)
{
    if (match->id < 0)
        return;
    expected->received_ids[match->number] = match->id;
    if (match->outer && !expected->outer[match->crafted])
        expected->outer[match->crafted] = match->outer;
}

#endif

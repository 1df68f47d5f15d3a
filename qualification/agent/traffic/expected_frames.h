/* What is expected of a crafted packet set, and holding a frame against it: expected_frames.py, for native_capture.c. */

#ifndef VX_DUE_H
#define VX_DUE_H

#include "wire/verify.h"

/* `ExpectedFrames`, whose memory this is: what one of the two has counted, the other finds counted. */
struct expected {
    const u8 *frames;       /* all of them, one behind the other, as crafted_packets.canonical leaves them */
    const u32 *starts;      /* of each frame, and where the last one ends */
    i32 *came;              /* for each frame: the IPv4 id with which it came; -1: not yet */
    const u32 *firsts;      /* for each crafted: its first frame, and behind the last crafted's last one */
    const u8 *fragmentable; /* for each crafted: the ids of its frames must differ */
    u64 *outer;             /* for each crafted: the outer fields that all its frames share; 0: none came */
    u32 first_port;         /* source port of the first crafted; the others have the next ones */
    u32 crafted_packets;
    u32 tunnel;
};

/* What holding a frame against them comes to. */
struct held {
    u64 outer;        /* 0: not looked at */
    u32 crafted, number; /* the frame that it is, */
    i32 ident;        /* unless this is -1: it is none that is yet to come */
    int wrong;
};

#define NOT_HELD ((struct held){.ident = -1})

/* Whether a frame is another but for some 16-bit fields, which are zero in that one. */
static int same_but(const u8 *found, const u8 *expected, i64 length, const i64 *fields, int count)
{
    i64 at = 0;
    for (int i = 0; i < count; at = fields[i++] + 2)
        if (!equal(found + at, expected + at, (size)(fields[i] - at)) || LOAD(u16, expected + fields[i]))
            return 0;
    return equal(found + at, expected + at, (size)(length - at));
}

/* Finds the frame among those of its crafted that are yet to come, by all of its bytes. */
static int find_due(const struct expected *expected, struct frame frame, const struct judged *found,
                    const struct packet *packet, struct held *held)
{
    /* expected._stripped */
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

/* ExpectedFrames.differs for a frame of ours, but that nothing is counted yet: `come` does. */
static struct held hold(const struct expected *expected, struct frame frame, const struct judged *found)
{
    const struct packet *packet = expected->tunnel ? &found->inner : &found->outer;
    struct held held = NOT_HELD;
    held.wrong = 1;
    if (!packet->family || packet->source_port < 0)
        return held; /* a fragment of one */
    held.crafted = (u32)packet->source_port - expected->first_port; /* below it wraps around */
    if (held.crafted >= expected->crafted_packets || !find_due(expected, frame, found, packet, &held) ||
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

/* Counts a frame that was held against them. */
static void come(const struct expected *expected, const struct held *held)
{
    if (held->ident < 0)
        return;
    expected->came[held->number] = held->ident;
    if (held->outer && !expected->outer[held->crafted])
        expected->outer[held->crafted] = held->outer;
}

#endif

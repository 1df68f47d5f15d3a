/* Walks through a frame, then judges its sums, the innermost first; see walk.py and judge.py. */

#ifndef VX_JUDGE_H
#define VX_JUDGE_H

#include "stack/ip.h"
#include "stack/lower.h"
#include "stack/tunnels.h"

static void walk_frame(struct frame frame, i64 wire_length, u32 link, const u16 *ports, u32 port_count,
                       struct walk *walk)
{
    struct cursor cursor = {0, wire_length < frame.captured ? frame.captured : wire_length, L_END, 0};
    if (cursor.limit > MOST_BYTES)
        cursor.limit = MOST_BYTES;
    struct ends ends = {0, 0, 0, 0};
    walk->used = walk->depth = 0;
    walk->vni = walk->noticed = -1;
    walk->carrier = walk->is_short = walk->direction = walk->fragment = 0;
    begin(walk, frame, &cursor, link);
    for (int steps = 0; cursor.layer != L_END; steps++) {
        if (steps == MOST_STEPS) {
            add(walk, K_LINK, S_UNJUDGED, H_DEPTH, cursor.at, cursor.limit);
            return;
        }
        switch (cursor.layer) {
        case L_ETHERNET:
            if (have(walk, frame, &cursor, 14, K_LINK))
                go_type(&cursor, u16_at(frame.bytes + cursor.at + 12), cursor.at + 14);
            break;
        case L_TYPE: ethertype_layer(walk, frame, &cursor); break;
        case L_LLC: llc(walk, frame, &cursor); break;
        case L_PPP: ppp(walk, frame, &cursor); break;
        case L_PPPOE: pppoe(walk, frame, &cursor); break;
        case L_MPLS: mpls(walk, frame, &cursor); break;
        case L_WLAN: wlan(walk, frame, &cursor); break;
        case L_NSH: nsh(walk, frame, &cursor); break;
        case L_IP:
            if (have(walk, frame, &cursor, 1, K_LINK)) {
                u8 version = frame.bytes[cursor.at] >> 4;
                cursor.layer = version == 4 ? L_IPV4 : version == 6 ? L_IPV6 : L_END;
            }
            break;
        case L_IPV4: ipv4_layer(walk, frame, &cursor, &ends); break;
        case L_IPV6: ipv6_layer(walk, frame, &cursor, &ends); break;
        case L_PROTOCOL: protocol_layer(walk, frame, &cursor, &ends); break;
        case L_UDP: udp_layer(walk, frame, &cursor, ports, port_count); break;
        case L_GRE: gre_layer(walk, frame, &cursor); break;
        default: return;
        }
    }
}

/* The table of CRC32c (RFC 3309), reflected; made when it is first needed. */
static u32 crc_table[256];

static u32 crc32c(const u8 *bytes, i64 length, i64 blank)
{
    if (!crc_table[1])
        for (u32 i = 0; i < 256; i++) {
            u32 value = i;
            for (int bit = 0; bit < 8; bit++)
                value = value & 1 ? value >> 1 ^ 0x82f63b78 : value >> 1;
            crc_table[i] = value;
        }
    u32 crc = 0xffffffff;
    for (i64 i = 0; i < length; i++) {
        u8 byte = i >= blank && i < blank + 4 ? 0 : bytes[i];
        crc = crc >> 8 ^ crc_table[(crc ^ byte) & 255];
    }
    return ~crc;
}

/* The sum over the innermost range that was judged last, which is part of those around it. */
struct known {
    i64 start, end;
    u64 total, pseudo;
    int unfinished;
};

INLINE u64 range_sum(struct frame frame, const struct sum *sum, const struct known *known)
{
    if (known->end == 0 || known->start < sum->start || known->end > sum->end)
        return sum_of(frame.bytes + sum->start, sum->end - sum->start);
    u64 before = sum_of(frame.bytes + sum->start, known->start - sum->start);
    u64 after = sum_of(frame.bytes + known->end, sum->end - known->end);
    u64 total = plus(before, (known->start - sum->start) & 1 ? swapped(known->total) : known->total);
    return plus(total, (known->end - sum->start) & 1 ? swapped(after) : after);
}

/* Returns whether all bytes that a sum covers are zero, its own field aside. */
static int is_blank(struct frame frame, const struct sum *sum)
{
    for (i64 at = sum->start; at < sum->end && !sum->pseudo; at++)
        if (frame.bytes[at] && (at < sum->field || at > sum->field + 1))
            return 0;
    return !sum->pseudo;
}

static void set_wrong(struct sum *sum, u8 how, u32 stored, u32 computed)
{
    sum->state = S_WRONG;
    sum->how = how;
    sum->stored = stored;
    sum->computed = computed;
}

/* Says how a sum is wrong. `total` is the sum over all that it covers, pseudo-header included. */
static __attribute__((noinline)) void find_how(struct frame frame, struct sum *sum, const struct known *known, u64 total)
{
    u32 stored = u16_at(frame.bytes + sum->field);
    u32 rest = ((u32)(in_order(total) % 65535) + 65535 - stored % 65535) % 65535;
    int datagram = sum->kind == K_UDP || sum->kind == K_UDP_LITE;
    /* A sum of zero is sent as 0xffff by UDP, and by others only if all that is covered is zero. */
    u32 computed = rest ? 0xffff - rest : datagram || is_blank(frame, sum) ? 0xffff : 0;
    u8 how = H_VALUE;
    if (stored == 0) {
        how = computed == 0xffff ? H_VALUE : H_ZERO; /* 0 for 0xffff was computed, and sent wrongly */
    } else if (sum->pseudo) {
        u32 pseudo = (u32)(in_order(sum->pseudo) % 65535);
        i64 length = sum->end - sum->start;
        u32 without = (u32)((pseudo + 65535 - length % 65535) % 65535); /* as drivers leave it for TSO */
        if (stored % 65535 == pseudo || stored % 65535 == without)
            how = H_PARTIAL;
    }
    if (stored && how == H_VALUE && known->unfinished && known->start >= sum->start && known->end <= sum->end) {
        /* The kernel computes an outer sum from what the inner one will be (local checksum offload):
         * once filled in, the inner range sums to the complement of its pseudo-header. */
        u64 change = plus(known->total, known->pseudo);
        u32 less = (u32)(in_order((known->start - sum->start) & 1 ? swapped(change) : change) % 65535);
        if ((in_order(total) % 65535 + 65535 - less) % 65535 == 0)
            how = H_LATER;
    }
    set_wrong(sum, how, stored, computed);
}

static void judge_walk(struct frame frame, struct walk *walk)
{
    struct known known = {0, 0, 0, 0, 0};
    for (u32 i = walk->used; i-- > 0;) {
        struct sum *sum = &walk->sums[i];
        if (sum->state != S_OPEN)
            continue;
        if (sum->kind == K_IPV4) {
            const u8 *header = frame.bytes + sum->start;
            u64 total = sum->end - sum->start == 20 ? sum_of(header, 20) : sum_of(header, sum->end - sum->start);
            sum->state = S_RIGHT;
            if (total % 65535)
                find_how(frame, sum, &(struct known){0, 0, 0, 0, 0}, total);
            continue;
        }
        if (sum->end > frame.captured) {
            sum->state = S_UNJUDGED;
            sum->how = walk->is_short ? H_SHORT : H_CUT;
            continue;
        }
        if (sum->kind == K_SCTP) {
            const u8 *field = frame.bytes + sum->field;
            u32 stored = le16_at(field) | le16_at(field + 2) << 16;
            u32 computed = crc32c(frame.bytes + sum->start, sum->end - sum->start, sum->field - sum->start);
            sum->state = S_RIGHT;
            if (stored != computed)
                set_wrong(sum, stored ? H_VALUE : H_ZERO, stored, computed);
            continue;
        }
        u64 own = range_sum(frame, sum, &known), total = plus(own, sum->pseudo);
        int right = total % 65535 == 0;
        if (right && !u16_at(frame.bytes + sum->field))
            right = sum->kind != K_UDP && sum->kind != K_UDP_LITE &&
                    !is_blank(frame, sum);
        sum->state = S_RIGHT;
        if (!right)
            find_how(frame, sum, &known, total);
        int unfinished = sum->state == S_WRONG && sum->how != H_VALUE && sum->pseudo != 0;
        known = (struct known){sum->start, sum->end, own, sum->pseudo, unfinished};
    }
}

#endif

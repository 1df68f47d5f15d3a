/* What a walk through a frame finds: sums to be judged, IP packets, what keeps a sum from being
 * judged. The names and numbers are those of codes.py, in the same order. */

#ifndef VX_LAYERS_H
#define VX_LAYERS_H

#include "wire/packet.h"

enum kind {
    K_NONE, K_LINK, K_IPV4, K_IPV6, K_TCP, K_UDP, K_UDP_LITE, K_ICMP, K_ICMPV6, K_IGMP, K_SCTP,
    K_DCCP, K_GRE, K_VXLAN, K_OTHER,
};

enum state { S_OPEN, S_RIGHT, S_WRONG, S_ABSENT, S_UNJUDGED, S_LENGTH, S_ELSEWHERE };

enum how {
    H_NONE, H_VALUE, H_PARTIAL, H_ZERO, H_LATER, H_CUT, H_SHORT, H_FRAGMENT, H_ENCRYPTED, H_ROUTE,
    H_PROTOCOL, H_DEPTH, H_LINK_TYPE, H_COMPRESSED, H_UNCUT, H_VERSION, H_IP_LENGTH, H_L4_LENGTH,
    H_HEADER, H_FLAG, H_AGGREGATE,
};

enum carrier {
    C_NONE, C_VXLAN, C_GPE, C_GENEVE, C_GRE, C_NVGRE, C_ERSPAN, C_IPIP, C_GUE, C_FOU, C_GTP, C_L2TP,
    C_ETHERIP, C_MPLS, C_SRV6,
};

enum { MOST_SUMS = 12, MOST_PACKETS = 6, MOST_STEPS = 48 };
enum { MOST_BYTES = 1 << 27 }; /* a longer length of a frame is damage */

/* A checksum, or what stands in its place. `end` may be beyond the bytes captured. */
struct sum {
    u64 pseudo; /* sum over the pseudo-header, in this machine's byte order */
    i32 start, end, field;
    u32 stored, computed; /* of wrong sums only */
    u8 kind, depth, state, how;
};

struct ip_packet {
    i32 start, l4, end, source_port, destination_port;
    i16 protocol;
    u8 family, carrier;
};

struct walk {
    struct sum sums[MOST_SUMS];
    struct ip_packet packets[MOST_PACKETS];
    u32 used, depth;
    i32 vni, noticed;      /* -1: none; `noticed`: a port of VXLAN that nobody named */
    u8 carrier;            /* what carries the packet that comes next */
    u8 is_short;           /* the frame ends before the length that its outermost IP header states */
    u8 direction;          /* 0: unknown, 1: inbound, 2: outbound */
    u8 fragment;           /* 1 + index in `packets` of a fragment */
};

/* What is to be read next: a layer, and the bytes that it may have. */
enum layer {
    L_END, L_ETHERNET, L_TYPE, L_LLC, L_PPP, L_PPPOE, L_MPLS, L_WLAN, L_IP, L_IPV4, L_IPV6, L_PROTOCOL,
    L_GRE, L_NSH, L_UDP,
};

struct cursor {
    i64 at, limit;
    i32 layer, type;
};

/* The addresses of the pseudo-header, and what keeps them from being known. */
struct ends {
    const u8 *source, *destination;
    u8 family, how;
};

static struct sum *add(struct walk *walk, u8 kind, u8 state, u8 how, i64 start, i64 end)
{
    if (walk->used == MOST_SUMS) {
        struct sum *last = &walk->sums[MOST_SUMS - 1];
        last->state = S_UNJUDGED;
        last->how = H_DEPTH;
        return last;
    }
    /* A header that cannot be read, or of a link, belongs to the packet that would have come. */
    u32 depth = walk->depth;
    if (depth && kind != K_LINK && kind != K_IPV4 && kind != K_IPV6)
        depth--;
    struct sum *sum = &walk->sums[walk->used++];
    *sum = (struct sum){0, (i32)start, (i32)end, -1, 0, 0, kind, (u8)depth, state, how};
    return sum;
}

/* Returns whether `length` bytes are there to be read, and notes why not: a layer that is carried and
 * does not fit is an error of length, a frame that is too short for its link is none. */
static int have(struct walk *walk, struct frame frame, struct cursor *cursor, i64 length, u8 kind)
{
    if (cursor->at + length > cursor->limit) {
        if (walk->depth || kind != K_LINK)
            add(walk, kind, S_LENGTH, H_HEADER, cursor->at, cursor->limit);
    } else if (cursor->at + length > frame.captured) {
        add(walk, kind, S_UNJUDGED, walk->is_short ? H_SHORT : H_CUT, cursor->at, cursor->limit);
    } else {
        return 1;
    }
    cursor->layer = L_END;
    return 0;
}

INLINE void go(struct cursor *cursor, i32 layer, i64 at)
{
    cursor->layer = layer;
    cursor->at = at;
}

INLINE void go_type(struct cursor *cursor, u32 type, i64 at)
{
    cursor->layer = L_TYPE;
    cursor->type = (i32)type;
    cursor->at = at;
}

/* Returns whether an IPv4 or IPv6 packet that fits seems to begin at `at`. If nothing else speaks for
 * it, it has to end at the limit, and its header to be right. */
static int seems_ip(struct frame frame, i64 at, i64 limit, int exact)
{
    i64 room = limit - at;
    if (at + 20 > frame.captured || room < 20)
        return 0;
    const u8 *header = frame.bytes + at;
    if (header[0] >> 4 == 4) {
        i64 words = (header[0] & 15) * 4, total = u16_at(header + 2);
        return words >= 20 && total >= words && (exact ? total == room : total <= room) &&
               (!exact || (at + words <= frame.captured && ones_sum(header, (size)words) == 0));
    }
    if (header[0] >> 4 != 6 || room < 40 || at + 40 > frame.captured)
        return 0;
    i64 total = 40 + (i64)u16_at(header + 4);
    u8 next = header[6];
    int known = next == HOP_BY_HOP || next == 4 || next == TCP || next == UDP || next == 33 || next == 41 ||
                (next >= 43 && next <= 44) || next == 47 || (next >= ESP && next <= AH) ||
                (next >= ICMPV6 && next <= DESTINATION) || next == 132 || next == 136;
    return known && (exact ? total == room : total <= room);
}

/* Returns whether an Ethernet frame with IP or ARP seems to begin at `at`. */
static int seems_ethernet(struct frame frame, i64 at, i64 limit)
{
    at += 12;
    for (int tags = 0; tags < 3 && at + 2 <= frame.captured && at + 2 <= limit; tags++, at += 4) {
        u32 type = u16_at(frame.bytes + at);
        if (type == 0x0800 || type == 0x86dd)
            return at + 2 < frame.captured && frame.bytes[at + 2] >> 4 == (type == 0x0800 ? 4 : 6) &&
                   seems_ip(frame, at + 2, limit, 0);
        if (type != 0x8100 && type != 0x88a8)
            return type == 0x0806 && at + 10 <= frame.captured && at + 10 <= limit &&
                   u32_at(frame.bytes + at + 2) == 0x00010800;
    }
    return 0;
}

#endif

/* The verifier: the same answers as packet.py, dissect.py and verify.py, a hundred times as fast. */

#ifndef VX_VERIFY_H
#define VX_VERIFY_H

#include "wire/bytes.h"

/* ---- one IP packet of a frame (packet.py) ---------------------------------------------------- */

enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT_HEADER = 44, DESTINATION = 60 };
enum { HOME_ADDRESS_OPTION = 0xc9 };

/* Why something is wrong or not judged; twin.py has the words in the same order. */
enum reason {
    NONE, VERSION, LENGTH, L4_LENGTH, TRUNCATED, FRAGMENT, ESP_INSIDE, ROUTING_HEADER,
    HOME_ADDRESS, JUMBOGRAM, PROTOCOL, VXLAN_FLAG, NOT_IP,
};

/* Offsets are signed and wide: what the bytes say can then be added up without a look at overflow. */
struct frame {
    const u8 *bytes;
    i64 captured;
};

struct packet {
    i64 start, l4, end; /* start == l4: the IP header cannot be read or believed */
    i32 source_port, destination_port, checksum; /* -1: there is none to read */
    i16 protocol;                                /* -1: the headers do not reach that far */
    u8 family;                                   /* 0: there is no packet */
    u8 trouble;
};

/* The sum of what was captured of a range; nothing before the frame's start is ever asked for. */
static u64 sum_between(struct frame frame, i64 from, i64 to)
{
    if (to > frame.captured)
        to = frame.captured;
    return from < to ? sum_of(frame.bytes + from, to - from) : 0;
}

static void headless(struct packet *packet, u8 family, i64 start, u8 trouble)
{
    *packet = (struct packet){start, start, start, -1, -1, -1, -1, family, trouble};
}

static void note(struct packet *packet, u8 trouble)
{
    if (!packet->trouble)
        packet->trouble = trouble;
}

static int is_extension(i32 protocol)
{
    const u64 extensions = 1ull << HOP_BY_HOP | 1ull << ROUTING | 1ull << FRAGMENT_HEADER |
                           1ull << AH | 1ull << DESTINATION;
    return protocol >= 0 && protocol < 64 && extensions >> protocol & 1;
}

static int has_home_address(const u8 *options, i64 length)
{
    i64 at = 0;
    while (at < length && options[at] != HOME_ADDRESS_OPTION)
        at += options[at] && at + 1 < length ? 2 + options[at + 1] : 1;
    return at < length;
}

/* Moves a packet's L4 behind its extension headers; returns what is in the way. */
static u8 walk_extensions(struct frame frame, struct packet *packet)
{
    u8 trouble = NONE;
    while (is_extension(packet->protocol)) {
        i64 at = packet->l4, room = frame.captured - at;
        if (at + 8 > packet->end || room < 8) {
            packet->protocol = -1;
            return at + 8 > packet->end ? LENGTH : TRUNCATED;
        }
        const u8 *header = frame.bytes + at;
        i64 length = (header[1] + 1) * 8;
        if (packet->protocol == AH) {
            length = (header[1] + 2) * 4;
        } else if (packet->protocol == FRAGMENT_HEADER) {
            length = 8;
            if (u16_at(header + 2) & 0xfff9) { /* not atomic (RFC 6946) */
                packet->protocol = header[0];
                packet->l4 += length;
                return FRAGMENT;
            }
        } else if (packet->protocol == ROUTING && header[3]) {
            trouble = ROUTING_HEADER; /* the pseudo-header holds the last address of the route */
        } else if (packet->protocol == DESTINATION &&
                   has_home_address(header + 2, (length < room ? length : room) - 2)) {
            trouble = HOME_ADDRESS; /* the pseudo-header holds it, instead of the source */
        }
        if (at + length > packet->end) {
            packet->protocol = -1;
            return LENGTH;
        }
        packet->protocol = header[0];
        packet->l4 += length;
    }
    return trouble;
}

/* Reads ports and checksum, and ends L4 by its own length; returns what is wrong there. */
static u8 read_l4(struct frame frame, struct packet *packet)
{
    i64 length = packet->end - packet->l4, room = frame.captured - packet->l4;
    i64 least, field;

    if (packet->protocol == UDP)
        least = 8, field = 6;
    else if (packet->protocol == TCP)
        least = 20, field = 16;
    else if (packet->protocol == (packet->family == 4 ? ICMP : ICMPV6))
        least = 8, field = 2;
    else
        return packet->protocol == ESP ? ESP_INSIDE : PROTOCOL;
    if (length < least)
        return L4_LENGTH;
    if (room < 4 || (packet->protocol == UDP && room < 8))
        return TRUNCATED;
    const u8 *header = frame.bytes + packet->l4;
    if (packet->protocol == UDP || packet->protocol == TCP) {
        packet->source_port = (i32)u16_at(header);
        packet->destination_port = (i32)u16_at(header + 2);
    }
    if (room < field + 2)
        return TRUNCATED;
    packet->checksum = (i32)u16_at(header + field);
    if (packet->protocol == UDP) {
        i64 told = u16_at(header + 4);
        if (told >= 8 && told <= length && length <= 65535)
            packet->end = packet->l4 + told;
        else if (told || packet->family == 4) /* over IPv6, 0 means up to the end (udp6_rcv) */
            return L4_LENGTH;
    }
    return NONE;
}

static void walk_ipv4(struct frame frame, i64 start, i64 limit, struct packet *packet)
{
    if (start + 20 > limit || start + 20 > frame.captured)
        return headless(packet, 4, start, start + 20 > limit ? LENGTH : TRUNCATED);
    const u8 *header = frame.bytes + start;
    if (header[0] >> 4 != 4)
        return headless(packet, 4, start, VERSION);
    i64 total = u16_at(header + 2), l4 = start + (header[0] & 15) * 4;
    *packet = (struct packet){start, l4, start + total, -1, -1, -1, header[9], 4, NONE};
    if (total == 0 && limit - start > 65535) {
        packet->end = limit;
        packet->trouble = JUMBOGRAM; /* BIG TCP: the field has no room for its length */
    } else if (packet->end > limit) {
        packet->end = limit;
        packet->trouble = LENGTH;
    }
    if (l4 < start + 20 || l4 > packet->end)
        return headless(packet, 4, start, LENGTH);
    if (l4 > frame.captured)
        return headless(packet, 4, start, TRUNCATED);
    if (u16_at(header + 6) & 0x3fff) { /* more fragments follow, or others went before */
        note(packet, FRAGMENT);
        return;
    }
    if (packet->protocol == AH)
        note(packet, walk_extensions(frame, packet));
    note(packet, read_l4(frame, packet));
}

static void walk_ipv6(struct frame frame, i64 start, i64 limit, struct packet *packet)
{
    i64 l4 = start + 40;
    if (l4 > limit || l4 > frame.captured)
        return headless(packet, 6, start, l4 > limit ? LENGTH : TRUNCATED);
    const u8 *header = frame.bytes + start;
    if (header[0] >> 4 != 6)
        return headless(packet, 6, start, VERSION);
    i64 length = u16_at(header + 4);
    *packet = (struct packet){start, l4, l4 + length, -1, -1, -1, header[6], 6, NONE};
    if (length == 0 && (packet->protocol == HOP_BY_HOP || limit - l4 > 65535)) {
        packet->end = limit;
        packet->trouble = JUMBOGRAM; /* by RFC 2675, or BIG TCP without its option */
    } else if (packet->end > limit) {
        packet->end = limit;
        packet->trouble = LENGTH;
    }
    u8 obstacle = walk_extensions(frame, packet);
    note(packet, obstacle);
    if (obstacle != FRAGMENT)
        note(packet, read_l4(frame, packet));
}

/* ---- a frame and its tunnel (dissect.py, verify.py) ------------------------------------------ */

enum { OUTER_IP = 1, OUTER_L4 = 2, VXLAN = 4, INNER_IP = 8, INNER_L4 = 16, INWARD = 3 };
enum { IPV4 = 0x0800, IPV6 = 0x86dd, CUT_OFF = -1 };

struct masks {
    u8 good, bad, absent, unjudged;
};

struct judged {
    struct packet outer, inner;
    i64 vxlan, inside; /* offsets of the VXLAN header and behind the inner EtherType; -1: none */
    i32 vni;           /* -1: none */
    struct masks masks;
    u8 reason, trouble;
};

/* The EtherType behind all VLAN tags; `*at` goes from the start of the header to behind it. */
static i32 ethertype(struct frame frame, i64 *at)
{
    i32 kind = CUT_OFF;
    for (*at += 14; *at <= frame.captured; *at += 4) {
        kind = (i32)u16_at(frame.bytes + *at - 2);
        if (kind != 0x8100 && kind != 0x88a8 && kind != 0x9100)
            return kind;
    }
    if (kind != CUT_OFF)
        *at -= 4; /* behind the last tag that is whole */
    return CUT_OFF;
}

static int is_tunnel_port(i32 port, const u16 *ports, u32 count)
{
    for (u32 i = 0; i < count; i++)
        if (ports[i] == port)
            return 1;
    return 0;
}

/* Judges one packet in outer bits; `total` is the sum over its L4. Returns the reason. */
static u8 judge_packet(struct frame frame, const struct packet *packet, u64 total, int tunnel,
                       struct masks *masks)
{
    u8 trouble = packet->trouble;
    if (trouble && (packet->l4 == packet->start || trouble == LENGTH)) {
        if (trouble == TRUNCATED)
            masks->unjudged = OUTER_IP | OUTER_L4;
        else
            masks->bad = OUTER_IP, masks->unjudged = OUTER_L4;
        return trouble;
    }
    const u8 *header = frame.bytes + packet->start;
    if (packet->family == 4) {
        if (sum_of(header, (header[0] & 15) * 4) % 65535 == 0)
            masks->good = OUTER_IP;
        else
            masks->bad = OUTER_IP;
    }
    if (trouble == L4_LENGTH) {
        masks->bad |= OUTER_L4;
        return LENGTH;
    }
    if (trouble) {
        masks->unjudged = OUTER_L4;
        return trouble;
    }
    if (packet->checksum == 0 && packet->protocol == UDP && (tunnel || packet->family == 4)) {
        masks->absent = OUTER_L4;
        return NONE;
    }
    if (packet->end > frame.captured) {
        masks->unjudged = OUTER_L4;
        return TRUNCATED;
    }
    i64 length = packet->end - packet->l4;
    if (packet->protocol != ICMP) { /* the pseudo-header */
        total += packet->family == 4 ? sum_of(header + 12, 8) : sum_of(header + 8, 32);
        total += in_order((u64)(packet->protocol + length));
    }
    int right = total % 65535 == 0;
    if (right && packet->checksum == 0) {
        /* A field of 0x0000 where 0xffff is due sums up as well: see verify._zero_is_wrong. */
        if (packet->protocol == UDP) {
            right = 0;
        } else if (packet->protocol == ICMP) {
            const u8 *at = frame.bytes + packet->l4, *end = frame.bytes + packet->end;
            while (at < end && !*at)
                at++;
            right = at < end;
        }
    }
    if (right)
        masks->good |= OUTER_L4;
    else
        masks->bad |= OUTER_L4;
    return NONE;
}

/* dissect.dissect: 0 if the frame is not IP, or too short to tell. */
static int dissect(struct frame frame, i64 wire_length, const u16 *ports, u32 port_count,
                   struct judged *found)
{
    i64 limit = wire_length < frame.captured ? frame.captured : wire_length, at = 0;
    i32 kind = ethertype(frame, &at);

    found->inner.family = 0;
    found->vxlan = found->inside = found->vni = -1;
    found->trouble = NONE;
    if (kind == IPV4)
        walk_ipv4(frame, at, limit, &found->outer);
    else if (kind == IPV6)
        walk_ipv6(frame, at, limit, &found->outer);
    else
        return 0;
    struct packet *outer = &found->outer;
    if (outer->protocol != UDP || !is_tunnel_port(outer->destination_port, ports, port_count))
        return 1;

    i64 vxlan = found->vxlan = outer->l4 + 8;
    limit = outer->end;
    if (vxlan + 8 > limit || vxlan + 8 > frame.captured) {
        found->trouble = vxlan + 8 > limit ? LENGTH : TRUNCATED;
        return 1;
    }
    if (!(frame.bytes[vxlan] & 0x08)) {
        found->trouble = VXLAN_FLAG;
        return 1;
    }
    found->vni = (i32)(u32_at(frame.bytes + vxlan + 4) >> 8);
    at = vxlan + 8;
    kind = ethertype(frame, &at);
    if (at > limit) {
        found->trouble = LENGTH;
        return 1;
    }
    found->inside = at;
    if (kind == IPV4)
        walk_ipv4(frame, at, limit, &found->inner);
    else if (kind == IPV6)
        walk_ipv6(frame, at, limit, &found->inner);
    else
        found->trouble = kind == CUT_OFF ? TRUNCATED : NOT_IP;
    return 1;
}

/* verify.check: 0 where its layout is None. */
static int check(struct frame frame, i64 wire_length, const u16 *ports, u32 port_count,
                 struct judged *found)
{
    struct masks masks = {0, 0, 0, 0}, inside = {0, 0, 0, 0};
    if (!dissect(frame, wire_length, ports, port_count, found)) {
        found->reason = frame.captured < (wire_length < 14 ? wire_length : 14) ? TRUNCATED : NOT_IP;
        found->masks = masks;
        return 0;
    }
    const struct packet *outer = &found->outer, *inner = &found->inner;
    u8 reason, inner_reason;
    if (!inner->family) {
        u64 total = sum_between(frame, outer->l4, outer->end);
        reason = judge_packet(frame, outer, total, found->vxlan >= 0, &masks);
        inner_reason = found->trouble;
        if (found->vxlan >= 0) {
            if (found->trouble == VXLAN_FLAG || found->trouble == LENGTH)
                masks.bad |= VXLAN;
            else if (found->vni < 0)
                masks.unjudged |= VXLAN;
            else
                masks.good |= VXLAN;
        }
        if (found->trouble == TRUNCATED)
            masks.unjudged |= INNER_IP | INNER_L4;
    } else {
        /* The bytes are gone over once: the inner sum is a part of the outer one. What trails the
         * inner packet may start at an odd offset, where it counts times 256 (RFC 1071, 2 B). */
        u64 inner_total = sum_between(frame, inner->l4, inner->end), total = inner_total;
        if (outer->checksum > 0) {
            u64 trailer = sum_between(frame, inner->end, outer->end);
            total += sum_between(frame, outer->l4, inner->l4);
            total += (inner->end - inner->l4) & 1 ? swapped(trailer) : trailer;
        }
        reason = judge_packet(frame, outer, total, 1, &masks);
        inner_reason = judge_packet(frame, inner, inner_total, 0, &inside);
        masks.good |= VXLAN | inside.good << INWARD;
        masks.bad |= inside.bad << INWARD;
        masks.absent |= inside.absent << INWARD;
        masks.unjudged |= inside.unjudged << INWARD;
    }
    found->reason = reason ? reason : inner_reason;
    found->masks = masks;
    return 1;
}

#endif

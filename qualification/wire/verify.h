/* The verifier: the answers of packet.py, dissect.py and verify.py, a hundred times as fast. */

#ifndef VX_VERIFY_H
#define VX_VERIFY_H

#include "wire/bytes.h"

/* ---- one IP packet of a frame (packet.py) ---------------------------------------------------- */

enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT_HEADER = 44, DESTINATION = 60 };
enum { HOME_ADDRESS_OPTION = 0xc9 };

/* Why something is wrong or not judged; native.py has the words in the same order. */
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
INLINE u64 sum_between(struct frame frame, i64 from, i64 to)
{
    if (to > frame.captured)
        to = frame.captured;
    return from < to ? sum_of(frame.bytes + from, to - from) : 0;
}

INLINE void headless(struct packet *packet, u8 family, i64 start, u8 trouble)
{
    *packet = (struct packet){start, start, start, -1, -1, -1, -1, family, trouble};
}

INLINE void note(struct packet *packet, u8 trouble)
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

struct behind {
    i64 l4;
    i16 protocol;
    u8 trouble;
};

/* Where a packet's L4 is behind its extension headers, and what is in the way. By value, and out of
 * line: those that have none, nearly all, are to stay in registers. */
static __attribute__((noinline)) struct behind walk_extensions(struct frame frame, i64 at, i64 end,
                                                               i16 protocol)
{
    u8 trouble = NONE;
    while (is_extension(protocol)) {
        i64 room = frame.captured - at;
        if (at + 8 > end || room < 8)
            return (struct behind){at, -1, at + 8 > end ? LENGTH : TRUNCATED};
        const u8 *header = frame.bytes + at;
        i64 length = (header[1] + 1) * 8;
        if (protocol == AH) {
            length = (header[1] + 2) * 4;
        } else if (protocol == FRAGMENT_HEADER) {
            length = 8;
            if (u16_at(header + 2) & 0xfff9) /* not atomic (RFC 6946) */
                return (struct behind){at + length, header[0], FRAGMENT};
        } else if (protocol == ROUTING && header[3]) {
            trouble = ROUTING_HEADER; /* the pseudo-header holds the last address of the route */
        } else if (protocol == DESTINATION &&
                   has_home_address(header + 2, (length < room ? length : room) - 2)) {
            trouble = HOME_ADDRESS; /* the pseudo-header holds it, instead of the source */
        }
        if (at + length > end)
            return (struct behind){at, -1, LENGTH};
        protocol = header[0];
        at += length;
    }
    return (struct behind){at, protocol, trouble};
}

/* Moves a packet's L4 behind its extension headers; gives what is in the way. */
INLINE u8 pass_extensions(struct frame frame, struct packet *packet)
{
    struct behind found = walk_extensions(frame, packet->l4, packet->end, packet->protocol);
    packet->l4 = found.l4;
    packet->protocol = found.protocol;
    return found.trouble;
}

/* Reads ports and checksum, and ends L4 by its own length; returns what is wrong there. */
INLINE u8 read_l4(struct frame frame, struct packet *packet)
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

INLINE void walk_ipv4(struct frame frame, i64 start, i64 limit, struct packet *packet)
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
        note(packet, pass_extensions(frame, packet));
    note(packet, read_l4(frame, packet));
}

INLINE void walk_ipv6(struct frame frame, i64 start, i64 limit, struct packet *packet)
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
    u8 obstacle = is_extension(packet->protocol) ? pass_extensions(frame, packet) : NONE;
    note(packet, obstacle);
    if (obstacle != FRAGMENT)
        note(packet, read_l4(frame, packet));
}

/* ---- a frame and its tunnel (dissect.py, verify.py) ------------------------------------------ */

enum { OUTER_IP = 1, OUTER_L4 = 2, VXLAN = 4, INNER_IP = 8, INNER_L4 = 16, INWARD = 3 };
enum { IPV4 = 0x0800, IPV6 = 0x86dd, CUT_OFF = -1 };

/* Of each layer in masks: its bit times one of these, a byte for each. */
enum { GOOD = 1, BAD = 1 << 8, ABSENT = 1 << 16, UNJUDGED = 1 << 24 };

struct judged {
    struct packet outer, inner;
    i64 vxlan, inside; /* offsets of the VXLAN header and behind the inner EtherType; -1: none */
    i32 vni;           /* -1: none */
    u32 masks;         /* of layers times GOOD, BAD, ABSENT, UNJUDGED */
    u8 reason, trouble;
};

/* The EtherType behind all VLAN tags; `*at` goes from the start of the header to behind it. */
INLINE i32 ethertype(struct frame frame, i64 *at)
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

/* verify._zero_is_wrong: a field of 0x0000 where 0xffff is expected sums up as well. */
static int zero_is_wrong(i16 protocol, const u8 *at, const u8 *end)
{
    if (protocol != ICMP)
        return protocol == UDP;
    while (at < end && !*at)
        at++;
    return at == end;
}

/* The multiple of a layer that a sum over all that its checksum covers makes of it. */
INLINE u32 good_or_bad(u64 sum)
{
    return sum % 65535 ? BAD : GOOD;
}

/* The sum of an IPv4 header; nearly all are of 20 bytes, for which the compiler can lay it out. */
INLINE u64 ip_sum(const u8 *header)
{
    return header[0] == 0x45 ? sum_of(header, 20) : sum_of(header, (header[0] & 15) * 4);
}

/* Judges one packet in outer bits; `total` is the sum over its L4. Gives masks, and the reason. */
INLINE u32 judge_packet(struct frame frame, const struct packet *packet, u64 total, int tunnel,
                        u8 *reason)
{
    u8 trouble = *reason = packet->trouble;
    if (trouble && (packet->l4 == packet->start || trouble == LENGTH)) {
        if (trouble == TRUNCATED)
            return UNJUDGED * (OUTER_IP | OUTER_L4);
        return BAD * OUTER_IP | UNJUDGED * OUTER_L4;
    }
    const u8 *header = frame.bytes + packet->start;
    u32 ip = packet->family == 4 ? good_or_bad(ip_sum(header)) * OUTER_IP : 0;
    if (trouble == L4_LENGTH) {
        *reason = LENGTH;
        return ip | BAD * OUTER_L4;
    }
    if (trouble)
        return ip | UNJUDGED * OUTER_L4;
    if (packet->checksum == 0 && packet->protocol == UDP && (tunnel || packet->family == 4))
        return ip | ABSENT * OUTER_L4;
    if (packet->end > frame.captured) {
        *reason = TRUNCATED;
        return ip | UNJUDGED * OUTER_L4;
    }
    i64 length = packet->end - packet->l4;
    if (packet->protocol != ICMP) { /* the pseudo-header */
        total = plus(total, packet->family == 4 ? sum_of(header + 12, 8) : sum_of(header + 8, 32));
        total = plus(total, in_order((u64)(packet->protocol + length)));
    }
    const u8 *l4 = frame.bytes + packet->l4;
    if (packet->checksum == 0 && zero_is_wrong(packet->protocol, l4, l4 + length))
        return ip | BAD * OUTER_L4;
    return ip | good_or_bad(total) * OUTER_L4;
}

/* dissect.dissect: 0 if the frame is not IP, or too short to tell. */
INLINE int dissect(struct frame frame, i64 wire_length, const u16 *ports, u32 port_count,
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

/* Judges a frame with one packet in another. */
INLINE void judge_both(struct frame frame, struct judged *found)
{
    const struct packet *outer = &found->outer, *inner = &found->inner;
    /* The bytes are gone over once: the inner sum is a part of the outer one. What trails the inner
     * packet may start at an odd offset, where it counts times 256 (RFC 1071, 2 B). */
    u64 inner_total = sum_between(frame, inner->l4, inner->end), total = inner_total;
    if (outer->checksum > 0) {
        u64 trailer = sum_between(frame, inner->end, outer->end);
        total = plus(total, sum_between(frame, outer->l4, inner->l4));
        total = plus(total, (inner->end - inner->l4) & 1 ? swapped(trailer) : trailer);
    }
    u8 reason, inner_reason;
    found->masks = judge_packet(frame, outer, total, 1, &reason) | GOOD * VXLAN |
                   judge_packet(frame, inner, inner_total, 0, &inner_reason) << INWARD;
    found->reason = reason ? reason : inner_reason;
}

/* check of any frame at all. */
static __attribute__((noinline)) int check_any(struct frame frame, i64 wire_length,
                                               const u16 *ports, u32 port_count,
                                               struct judged *found)
{
    found->masks = 0;
    if (!dissect(frame, wire_length, ports, port_count, found)) {
        found->reason = frame.captured < (wire_length < 14 ? wire_length : 14) ? TRUNCATED : NOT_IP;
        return 0;
    }
    if (found->inner.family) {
        judge_both(frame, found);
        return 1;
    }
    const struct packet *outer = &found->outer;
    u64 total = sum_between(frame, outer->l4, outer->end);
    u8 reason;
    u32 masks = judge_packet(frame, outer, total, found->vxlan >= 0, &reason);
    if (found->vxlan >= 0) {
        if (found->trouble == VXLAN_FLAG || found->trouble == LENGTH)
            masks |= BAD * VXLAN;
        else
            masks |= (found->vni < 0 ? UNJUDGED : GOOD) * VXLAN;
    }
    if (found->trouble == TRUNCATED)
        masks |= UNJUDGED * (INNER_IP | INNER_L4);
    found->masks = masks;
    found->reason = reason ? reason : found->trouble;
    return 1;
}

/* Reads a packet that is as nearly all are, up to the end of a frame that was captured whole: UDP
 * or TCP without IP options, extension headers or fragments, its lengths what they have to be. 0 if
 * it is anything else. Its IP header has `ip` bytes. */
INLINE int read_plain(struct frame frame, i64 start, const i64 ip, struct packet *packet)
{
    const u8 *header = frame.bytes + start, *l4 = header + ip;
    i64 length = frame.captured - start;

    if (length < ip + 8)
        return 0;
    if (ip == 20 ? header[0] != 0x45 || u16_at(header + 2) != length || u16_at(header + 6) & 0x3fff
                 : header[0] >> 4 != 6 || u16_at(header + 4) != length - 40)
        return 0;
    i16 protocol = header[ip == 20 ? 9 : 6];
    /* Flows come mixed: a branch on the protocol would go wrong every other time. */
    int udp = protocol == UDP, tcp = protocol == TCP;
    if (!((udp & (u16_at(l4 + 4) == length - ip)) | (tcp & (length >= ip + 20))))
        return 0;
    *packet = (struct packet){
        start, start + ip, frame.captured,
        (i32)u16_at(l4), (i32)u16_at(l4 + 2), (i32)u16_at(l4 + 6 + 10 * tcp),
        protocol, ip == 20 ? 4 : 6, NONE,
    };
    return 1;
}

/* check of a frame that was captured whole and is plain, in and out; 0 if it is not. What is known
 * of it is not asked again: the compiler leaves that out of the judging, and lays out the sums. */
INLINE int check_plain(struct frame frame, const u16 *ports, u32 port_count, struct judged *found,
                       const i64 outer_ip, const i64 inner_ip)
{
    const i64 vxlan = 14 + outer_ip + 8, inside = vxlan + 8 + 14;
    if (!read_plain(frame, 14, outer_ip, &found->outer) || found->outer.protocol != UDP ||
        !is_tunnel_port(found->outer.destination_port, ports, port_count) ||
        !(frame.bytes[vxlan] & 0x08) || !read_plain(frame, inside, inner_ip, &found->inner))
        return 0;
    found->vxlan = vxlan;
    found->inside = inside;
    found->vni = (i32)(u32_at(frame.bytes + vxlan + 4) >> 8);
    found->trouble = NONE;
    judge_both(frame, found);
    return 1;
}

/* verify.check: 0 where its layout is None. */
INLINE int check(struct frame frame, i64 wire_length, const u16 *ports, u32 port_count,
                 struct judged *found)
{
    enum { FOUR = 14 + 20 + 8 + 8, SIX = 14 + 40 + 8 + 8 }; /* where the inner frame is */
    if (frame.captured == wire_length && frame.captured >= SIX + 14) {
        i32 outer = (i32)u16_at(frame.bytes + 12);
        i32 inner = (i32)u16_at(frame.bytes + (outer == IPV4 ? FOUR : SIX) + 12);
        if (outer == IPV4 && inner == IPV4 && check_plain(frame, ports, port_count, found, 20, 20))
            return 1;
        if (outer == IPV4 && inner == IPV6 && check_plain(frame, ports, port_count, found, 20, 40))
            return 1;
        if (outer == IPV6 && inner == IPV4 && check_plain(frame, ports, port_count, found, 40, 20))
            return 1;
        if (outer == IPV6 && inner == IPV6 && check_plain(frame, ports, port_count, found, 40, 40))
            return 1;
    }
    return check_any(frame, wire_length, ports, port_count, found);
}

#endif

/* One IP packet of a frame: where its L4 begins and ends, ports and checksum, as packet.py reads
 * it. */

#ifndef VX_PACKET_H
#define VX_PACKET_H

#include "wire/bytes.h"

enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT_HEADER = 44, DESTINATION = 60 };
enum { HOME_ADDRESS_OPTION = 0xc9 };

/* Why something is wrong or cannot be judged; native.REASONS lists the names in the same order. */
enum reason {
    NONE, VERSION, LENGTH, L4_LENGTH, TRUNCATED, FRAGMENT, ESP_INSIDE, ROUTING_HEADER,
    HOME_ADDRESS, JUMBOGRAM, PROTOCOL, VXLAN_FLAG, NOT_IP,
};

/* Offsets are signed and 64 bits wide, so that lengths read from the frame can be added without
 * overflow checks. */
struct frame {
    const u8 *bytes;
    i64 captured;
};

struct packet {
    i64 start, l4, end; /* start == l4: the IP header is cut off or invalid */
    i32 source_port, destination_port, checksum; /* -1: not present or cut off */
    i16 protocol;                                /* -1: unknown, the headers end before it */
    u8 family;                                   /* 0: no IP packet */
    u8 trouble;
};

/* Returns the sum over the captured part of a range. `from` is never negative. */
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

struct l4_place {
    i64 l4;
    i16 protocol;
    u8 trouble;
};

/* Returns where L4 begins behind the extension headers, and what keeps it from being judged. It
 * works by value and out of line, so that packets without extension headers, nearly all of them,
 * stay in registers. */
static __attribute__((noinline)) struct l4_place walk_extensions(struct frame frame, i64 at, i64 end,
                                                               i16 protocol)
{
    u8 trouble = NONE;
    while (is_extension(protocol)) {
        i64 room = frame.captured - at;
        if (at + 8 > end || room < 8)
            return (struct l4_place){at, -1, at + 8 > end ? LENGTH : TRUNCATED};
        const u8 *header = frame.bytes + at;
        i64 length = (header[1] + 1) * 8;
        if (protocol == AH) {
            length = (header[1] + 2) * 4;
        } else if (protocol == FRAGMENT_HEADER) {
            length = 8;
            if (u16_at(header + 2) & 0xfff9) /* not atomic (RFC 6946) */
                return (struct l4_place){at + length, header[0], FRAGMENT};
        } else if (protocol == ROUTING && header[3]) {
            trouble = ROUTING_HEADER; /* the pseudo-header holds the last address of the route */
        } else if (protocol == DESTINATION &&
                   has_home_address(header + 2, (length < room ? length : room) - 2)) {
            trouble = HOME_ADDRESS; /* the pseudo-header holds it in place of the source */
        }
        if (at + length > end)
            return (struct l4_place){at, -1, LENGTH};
        protocol = header[0];
        at += length;
    }
    return (struct l4_place){at, protocol, trouble};
}

/* Moves a packet's L4 behind its extension headers. Returns what keeps it from being judged. */
INLINE u8 pass_extensions(struct frame frame, struct packet *packet)
{
    struct l4_place found = walk_extensions(frame, packet->l4, packet->end, packet->protocol);
    packet->l4 = found.l4;
    packet->protocol = found.protocol;
    return found.trouble;
}

/* Reads ports and checksum, and sets the end of L4 by its own length field. Returns what is
 * wrong. */
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
        i64 stated = u16_at(header + 4);
        if (stated >= 8 && stated <= length && length <= 65535)
            packet->end = packet->l4 + stated;
        else if (stated || packet->family == 4) /* over IPv6, 0 means up to the end (udp6_rcv) */
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
        packet->trouble = JUMBOGRAM; /* BIG TCP: the length does not fit into its field */
    } else if (packet->end > limit) {
        packet->end = limit;
        packet->trouble = LENGTH;
    }
    if (l4 < start + 20 || l4 > packet->end)
        return headless(packet, 4, start, LENGTH);
    if (l4 > frame.captured)
        return headless(packet, 4, start, TRUNCATED);
    if (u16_at(header + 6) & 0x3fff) { /* MF or a fragment offset is set */
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

#endif

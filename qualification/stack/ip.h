/* IPv4, IPv6 and its extension headers, and the protocols above them that have a checksum; see
 * ip.py. */

#ifndef VX_STACK_IP_H
#define VX_STACK_IP_H

#include "stack/layers.h"

enum { IPIP = 4, IPV6_IN_IP = 41, GRE = 47, IGMP = 2, DCCP = 33, COMPRESSED = 108, SCTP = 132, UDP_LITE = 136 };

/* Returns the destination of the pseudo-header: with a source route that has not ended, it is the
 * last address of the route (RFC 791, 3.1). */
static const u8 *final_ipv4(const u8 *header, i64 length)
{
    i64 at = 20;
    while (at + 1 < length && header[at]) {
        i64 size = header[at + 1];
        if (header[at] == 1) {
            at++;
            continue;
        }
        if (size < 2 || at + size > length)
            break;
        if ((header[at] == 131 || header[at] == 137) && size >= 7 && header[at + 2] + 3 <= size)
            return header + at + 3 + (size - 3) / 4 * 4 - 4;
        at += size;
    }
    return header + 16;
}

static void push(struct walk *walk, u8 family, i64 start, i64 l4, i64 end, i16 protocol)
{
    walk->packets[walk->depth++] =
        (struct ip_packet){(i32)start, (i32)l4, (i32)end, -1, -1, protocol, family, walk->carrier};
    walk->carrier = C_NONE;
}

static u8 kind_of(u8 family, i32 protocol)
{
    switch (protocol) {
    case ICMP: return family == 4 ? K_ICMP : K_OTHER;
    case ICMPV6: return family == 6 ? K_ICMPV6 : K_OTHER;
    case IGMP: return family == 4 ? K_IGMP : K_OTHER;
    case TCP: return K_TCP;
    case UDP: return K_UDP;
    case DCCP: return K_DCCP;
    case SCTP: return K_SCTP;
    case UDP_LITE: return K_UDP_LITE;
    case GRE: return K_GRE;
    }
    return K_OTHER;
}

/* A length that reaches beyond the frame: a mirror may have cut the frame, which shows only at the
 * outermost packet, or behind a mirror's own tunnel. */
static int may_be_short(const struct walk *walk)
{
    return walk->depth == 0 || walk->carrier == C_ERSPAN;
}

static void fail(struct walk *walk, struct cursor *cursor, u8 kind, u8 state, u8 how)
{
    add(walk, kind, state, how, cursor->at, cursor->limit);
    cursor->layer = L_END;
}

/* Passes AH, and with IPv6 all extension headers. Returns 0 if the walk ends there. */
static int pass_headers(struct walk *walk, struct frame frame, struct cursor *cursor, struct ends *ends)
{
    struct ip_packet *packet = &walk->packets[walk->depth - 1];
    while (cursor->type == AH || (ends->family == 6 && is_extension(cursor->type))) {
        if (!have(walk, frame, cursor, 8, K_OTHER))
            return 0;
        const u8 *header = frame.bytes + cursor->at;
        i64 length = (header[1] + 1) * 8;
        if (cursor->type == AH)
            length = (header[1] + 2) * 4;
        if (cursor->type == FRAGMENT_HEADER) {
            length = 8;
            if (u16_at(header + 2) & 0xfff9) { /* not atomic (RFC 6946) */
                packet->protocol = header[0];
                packet->l4 = (i32)cursor->at + 8;
                walk->fragment = (u8)walk->depth;
                fail(walk, cursor, kind_of(6, header[0]), S_UNJUDGED, H_FRAGMENT);
                return 0;
            }
        }
        if (!have(walk, frame, cursor, length, K_OTHER))
            return 0;
        if (cursor->type == ROUTING && header[3]) {
            i64 addresses = header[1] / 2;
            if ((header[2] == 0 || header[2] == 2) && header[3] <= addresses)
                ends->destination = header + 8 + 16 * (addresses - 1); /* the last */
            else if (header[2] == 4 && addresses && header[3] <= header[4] && header[4] < addresses)
                ends->destination = header + 8; /* segments are listed backwards (RFC 8754) */
            else
                ends->how = H_ROUTE;
        } else if (cursor->type == DESTINATION) {
            i64 at = 2;
            while (at + 1 < length && header[at] != HOME_ADDRESS_OPTION)
                at += header[at] ? 2 + header[at + 1] : 1;
            if (at + 18 <= length && header[at + 1] == 16)
                ends->source = header + at + 2; /* RFC 6275, 6.3 */
        }
        cursor->type = header[0];
        cursor->at += length;
        packet->l4 = (i32)cursor->at;
        packet->protocol = (i16)cursor->type;
    }
    return 1;
}

static void ipv4_layer(struct walk *walk, struct frame frame, struct cursor *cursor, struct ends *ends)
{
    if (walk->depth == MOST_PACKETS)
        return fail(walk, cursor, K_IPV4, S_UNJUDGED, H_DEPTH);
    i64 at = cursor->at;
    if (!have(walk, frame, cursor, 20, K_IPV4))
        return;
    const u8 *header = frame.bytes + at;
    i64 length = (header[0] & 15) * 4, total = u16_at(header + 2), end = at + total;
    if (header[0] >> 4 != 4)
        return fail(walk, cursor, K_IPV4, S_LENGTH, H_VERSION);
    if (total == 0)
        end = cursor->limit; /* BIG TCP, or not yet cut by the NIC */
    if (length < 20 || at + length > end)
        return fail(walk, cursor, K_IPV4, S_LENGTH, H_IP_LENGTH);
    if (!have(walk, frame, cursor, length, K_IPV4))
        return;
    if (end > cursor->limit) {
        if (!may_be_short(walk) || ones_sum(header, (size)length))
            return fail(walk, cursor, K_IPV4, S_LENGTH, H_IP_LENGTH);
        walk->is_short = 1;
    }
    if (total == 0 && end - at <= 65535)
        return fail(walk, cursor, K_IPV4, S_UNJUDGED, H_UNCUT);
    add(walk, K_IPV4, S_OPEN, H_NONE, at, at + length)->field = (i32)at + 10;
    push(walk, 4, at, at + length, end, header[9]);
    *ends = (struct ends){header + 12, length == 20 ? header + 16 : final_ipv4(header, length), 4, H_NONE};
    *cursor = (struct cursor){at + length, end, L_PROTOCOL, header[9]};
    if (u16_at(header + 6) & 0x3fff) { /* MF or an offset */
        walk->fragment = (u8)walk->depth;
        return fail(walk, cursor, kind_of(4, header[9]), S_UNJUDGED, H_FRAGMENT);
    }
    if (header[9] == AH)
        pass_headers(walk, frame, cursor, ends);
}

/* Returns the length by the option for jumbograms (RFC 2675) that begins a hop-by-hop header; -1:
 * none. */
static i64 jumbo_length(struct frame frame, i64 at)
{
    if (at + 8 > frame.captured || frame.bytes[at + 2] != 0xc2 || frame.bytes[at + 3] != 4)
        return -1;
    return u32_at(frame.bytes + at + 4);
}

static void ipv6_layer(struct walk *walk, struct frame frame, struct cursor *cursor, struct ends *ends)
{
    if (walk->depth == MOST_PACKETS)
        return fail(walk, cursor, K_IPV6, S_UNJUDGED, H_DEPTH);
    i64 at = cursor->at;
    if (!have(walk, frame, cursor, 40, K_IPV6))
        return;
    const u8 *header = frame.bytes + at;
    i64 payload = u16_at(header + 4);
    u8 next = header[6];
    if (header[0] >> 4 != 6)
        return fail(walk, cursor, K_IPV6, S_LENGTH, H_VERSION);
    if (payload == 0 && next == HOP_BY_HOP && jumbo_length(frame, at + 40) >= 0)
        payload = jumbo_length(frame, at + 40);
    else if (payload == 0 && cursor->limit - at - 40 > 65535)
        payload = cursor->limit - at - 40; /* BIG TCP without its option */
    else if (payload == 0 && (next == TCP || next == UDP) && cursor->limit - at > 40 && walk->depth == 0)
        return fail(walk, cursor, K_IPV6, S_UNJUDGED, H_UNCUT);
    if (at + 40 + payload > cursor->limit) {
        if (!may_be_short(walk) || payload > 65535)
            return fail(walk, cursor, K_IPV6, S_LENGTH, H_IP_LENGTH);
        walk->is_short = 1;
    }
    push(walk, 6, at, at + 40, at + 40 + payload, next);
    *ends = (struct ends){header + 8, header + 24, 6, H_NONE};
    *cursor = (struct cursor){at + 40, at + 40 + payload, L_PROTOCOL, next};
    if (is_extension(next))
        pass_headers(walk, frame, cursor, ends);
}

INLINE u64 pseudo_sum(const struct ends *ends, i32 protocol, i64 length)
{
    i64 width = ends->family == 4 ? 4 : 16;
    u64 sum = plus(sum_of(ends->source, width), sum_of(ends->destination, width));
    return plus(sum, in_order((u64)(protocol + length)));
}

/* Reads the header above IP, and adds its sum. */
static void protocol_layer(struct walk *walk, struct frame frame, struct cursor *cursor, const struct ends *ends)
{
    struct ip_packet *packet = &walk->packets[walk->depth - 1];
    i64 at = cursor->at, end = cursor->limit, length = end - at, least, field, covered = length;
    i32 protocol = cursor->type;
    u8 kind = kind_of(ends->family, protocol), family = ends->family;

    cursor->layer = L_END;
    switch (kind) {
    case K_TCP: least = 20, field = 16; break;
    case K_UDP: case K_UDP_LITE: least = 8, field = 6; break;
    case K_ICMP: case K_ICMPV6: case K_IGMP: least = 8, field = 2; break;
    case K_SCTP: least = 12, field = 8; break;
    case K_DCCP: least = 12, field = 6; break;
    case K_GRE: cursor->layer = L_GRE; return;
    default:
        switch (protocol) {
        case IPIP: case 94: walk->carrier = C_IPIP; cursor->layer = L_IPV4; return;
        case IPV6_IN_IP: walk->carrier = C_IPIP; cursor->layer = L_IPV6; return;
        case 97: walk->carrier = C_ETHERIP; return go(cursor, L_ETHERNET, at + 2);
        case 137: walk->carrier = C_MPLS; cursor->layer = L_MPLS; return;
        case 143: walk->carrier = C_SRV6; cursor->layer = L_ETHERNET; return;
        case 59: return;
        case ESP: return fail(walk, cursor, K_OTHER, S_UNJUDGED, H_ENCRYPTED);
        case COMPRESSED: return fail(walk, cursor, K_OTHER, S_UNJUDGED, H_COMPRESSED);
        }
        return fail(walk, cursor, K_OTHER, S_UNJUDGED, H_PROTOCOL);
    }
    if (length < least)
        return fail(walk, cursor, kind, S_LENGTH, H_L4_LENGTH);
    const u8 *header = frame.bytes + at;
    if (at + 4 <= frame.captured && kind != K_ICMP && kind != K_ICMPV6 && kind != K_IGMP) {
        packet->source_port = (i32)u16_at(header);
        packet->destination_port = (i32)u16_at(header + 2);
    }
    if (!have(walk, frame, cursor, least, kind))
        return;
    if (kind == K_UDP) {
        i64 stated = u16_at(header + 4);
        if (stated >= 8 && stated <= length && length <= 65535)
            covered = stated;
        else if (stated || (family == 4 && length <= 65535)) /* 0: up to the end (udp6_rcv) */
            return fail(walk, cursor, kind, S_LENGTH, H_L4_LENGTH);
        packet->end = (i32)(at + covered);
        cursor->limit = at + covered;
        length = covered;
        cursor->layer = L_UDP;
    } else if (kind == K_UDP_LITE) {
        i64 stated = u16_at(header + 4);
        if (stated && (stated < 8 || stated > length))
            return fail(walk, cursor, kind, S_LENGTH, H_L4_LENGTH);
        covered = stated ? stated : length;
    } else if (kind == K_DCCP) {
        i64 data = header[4] * 4, covers = header[5] & 15;
        if (data < 12 || data > length || (covers && data + (covers - 1) * 4 > length))
            return fail(walk, cursor, kind, S_LENGTH, H_L4_LENGTH);
        covered = covers ? data + (covers - 1) * 4 : length;
    }
    struct sum *sum = add(walk, kind, S_OPEN, H_NONE, at, at + covered);
    sum->field = (i32)(at + field);
    if (sum->state != S_OPEN)
        return;
    if (kind == K_UDP && u16_at(header + 6) == 0 && family == 4) {
        sum->state = S_ABSENT;
    } else if (ends->how && kind != K_SCTP) {
        sum->state = S_UNJUDGED;
        sum->how = ends->how;
    } else if (kind != K_ICMP && kind != K_IGMP && kind != K_SCTP) {
        sum->pseudo = pseudo_sum(ends, protocol, length);
    }
}

#endif

/* The verifier: judges every checksum of a frame as verify.py does, a hundred times as fast. */

#ifndef VX_VERIFY_H
#define VX_VERIFY_H

#include "wire/dissect.h"

/* Implements verify._zero_is_wrong: a field of 0x0000 has the same sum as the right one, 0xffff. */
static int zero_is_wrong(i16 protocol, const u8 *at, const u8 *end)
{
    if (protocol != ICMP)
        return protocol == UDP;
    while (at < end && !*at)
        at++;
    return at == end;
}

/* Returns the outcome of a layer, by the sum over all bytes that its checksum covers. */
INLINE u32 good_or_bad(u64 sum)
{
    return sum % 65535 ? BAD : GOOD;
}

/* Returns the sum over an IPv4 header. Nearly all headers have 20 bytes; for that constant length
 * the compiler unrolls the sum. */
INLINE u64 ip_sum(const u8 *header)
{
    return header[0] == 0x45 ? sum_of(header, 20) : sum_of(header, (header[0] & 15) * 4);
}

/* Judges one packet. `total` is the sum over its L4. Returns masks in the bits of the outer
 * layers. */
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
    if (packet->protocol != ICMP) { /* add the pseudo-header */
        total = plus(total, packet->family == 4 ? sum_of(header + 12, 8) : sum_of(header + 8, 32));
        total = plus(total, in_order((u64)(packet->protocol + length)));
    }
    const u8 *l4 = frame.bytes + packet->l4;
    if (packet->checksum == 0 && zero_is_wrong(packet->protocol, l4, l4 + length))
        return ip | BAD * OUTER_L4;
    return ip | good_or_bad(total) * OUTER_L4;
}

/* Judges a frame that has a packet inside its tunnel. */
INLINE void judge_both(struct frame frame, struct judged *found)
{
    const struct packet *outer = &found->outer, *inner = &found->inner;
    /* Every byte is read once: the inner sum is part of the outer one. Bytes behind the inner
     * packet may start at an odd offset, where their sum counts times 256 (RFC 1071, 2 B). */
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

/* Implements verify.check for any frame. */
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

/* Reads an ordinary packet that reaches to the end of a completely captured frame: UDP or TCP
 * without IP options, extension headers or fragmentation, with consistent lengths. Returns 0 for
 * any other packet. `ip` is the length of its IP header. */
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
    /* Flows of both protocols are mixed, so a branch on the protocol would be mispredicted
     * often. */
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

/* Implements verify.check for a completely captured frame whose outer and inner packets are both
 * ordinary. Returns 0 for any other frame. As the header lengths are constants here, the compiler
 * drops the tests for them from the judgement and unrolls the sums. */
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

/* Implements verify.check. Returns 0 where its layout is None. */
INLINE int check(struct frame frame, i64 wire_length, const u16 *ports, u32 port_count,
                 struct judged *found)
{
    enum { FOUR = 14 + 20 + 8 + 8, SIX = 14 + 40 + 8 + 8 }; /* offsets of the inner frame */
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

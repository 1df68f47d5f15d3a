/* A short way for the frames that most captures consist of: TCP or UDP over IP without options, by
 * itself or in VXLAN, completely captured and right. What it takes, a walk finds the same in. */

#ifndef VX_PLAIN_H
#define VX_PLAIN_H

#include "stack/judge.h"
#include "wire/verify.h"

/* Returns whether UDP may carry a tunnel, which a walk has to find out. */
INLINE int may_carry(struct frame frame, const struct packet *packet, const u16 *ports, u32 port_count)
{
    i64 at = packet->l4 + 8, room = packet->end - at;
    i32 port = packet->destination_port;
    if (port == P_L2TP || port == P_GTP || port == P_TEREDO || (port >= P_GRE && port <= P_GPE) ||
        port == P_GUE || port == P_GENEVE || port == P_MPLS || port == P_LINUX_VXLAN ||
        is_tunnel_port(port, ports, port_count))
        return 1;
    if (room < 8)
        return 0;
    const u8 *payload = frame.bytes + at;
    return u32_at(payload) == 0x08000000 || (payload[0] >> 4 == 4 && u16_at(payload + 2) == room) ||
           (payload[0] >> 4 == 6 && u16_at(payload + 4) + 40 == room);
}

INLINE u64 plain_code(const struct packet *packet, u32 masks, u64 depth)
{
    u64 ip = K_IPV4 | S_RIGHT << 5 | depth << 13;
    u64 state = masks & ABSENT * OUTER_L4 ? S_ABSENT : S_RIGHT;
    u64 l4 = (packet->protocol == TCP ? K_TCP : K_UDP) | state << 5 | depth << 13;
    return packet->family == 4 ? ip | l4 << 16 : l4;
}

/* Returns a frame of at least 42 bytes as if it had no VLAN tag, and no padding behind its IP packet;
 * neither has an effect on what a walk finds. */
INLINE struct frame plain_part(struct frame frame, u32 *type)
{
    *type = u16_at(frame.bytes + 12);
    if (*type == 0x8100) {
        frame.bytes += 4;
        frame.captured -= 4;
        *type = u16_at(frame.bytes + 12);
    }
    i64 end = 14 + (*type == IPV4 ? 0 : 40) + (i64)u16_at(frame.bytes + (*type == IPV4 ? 16 : 18));
    if (end < frame.captured)
        frame.captured = end;
    return frame;
}

/* Makes the key of a frame, as outcome_key does. Returns the length of its outermost packet if one of
 * its sums above IP is right, 0 if none is, and -1 for a frame that needs a walk. */
INLINE i64 plain_key(struct frame frame, const u16 *ports, u32 port_count, u64 *key, const i64 outer_ip)
{
    struct judged found;
    found.inner.family = 0;
    if (!read_plain(frame, 14, outer_ip, &found.outer))
        return -1;
    const struct packet *outer = &found.outer, *last = outer;
    u64 codes, vni = 0, place = 1ull << 50;
    if (outer->protocol == UDP && may_carry(frame, outer, ports, port_count)) {
        const i64 inside = 14 + outer_ip + 8 + 8;
        if (frame.captured < inside + 14 + 28 || frame.bytes[14 + outer_ip + 8] & 0x04)
            return -1;
        u32 type = u16_at(frame.bytes + inside + 12);
        if (type == IPV4 ? !check_plain(frame, ports, port_count, &found, outer_ip, 20)
                         : type != IPV6 || frame.captured < inside + 14 + 48 ||
                               !check_plain(frame, ports, port_count, &found, outer_ip, 40))
            return -1;
        if (found.masks & (BAD | UNJUDGED) * 31u ||
            (found.inner.protocol == UDP && may_carry(frame, &found.inner, ports, port_count)))
            return -1;
        last = &found.inner;
        vni = (u64)found.vni + 1;
        place = 2ull << 50 | C_VXLAN << 5;
        codes = plain_code(outer, found.masks, 0) |
                plain_code(last, found.masks >> INWARD, 1) << (outer_ip == 20 ? 32 : 16);
    } else {
        u8 reason;
        u64 total = outer->checksum || outer->protocol == TCP ? sum_between(frame, outer->l4, outer->end) : 0;
        found.masks = judge_packet(frame, outer, total, 0, &reason);
        if (found.masks & (BAD | UNJUDGED) * 31u)
            return -1;
        codes = plain_code(outer, found.masks, 0);
    }
    const u8 *addresses = frame.bytes + 14 + (outer_ip == 20 ? 12 : 8);
    key[0] = LOAD(u64, addresses);
    key[1] = outer_ip == 20 ? 0 : LOAD(u64, addresses + 8);
    key[2] = outer_ip == 20 ? 0 : LOAD(u64, addresses + 16);
    key[3] = outer_ip == 20 ? 0 : LOAD(u64, addresses + 24);
    key[4] = vni | (u64)(last->protocol + 1) << 25 | (u64)(last->family / 2 - 1) << 34 |
             (outer_ip == 20 ? 1ull : 2ull) << 36;
    key[5] = place;
    key[6] = codes;
    key[7] = key[8] = 0;
    return found.masks & GOOD * (OUTER_L4 | INNER_L4) ? frame.captured - 14 : 0;
}

#endif

/* The packet on the wire and the one in its VXLAN tunnel, as dissect.py finds them. */

#ifndef VX_DISSECT_H
#define VX_DISSECT_H

#include "wire/packet.h"

enum { OUTER_IP = 1, OUTER_L4 = 2, VXLAN = 4, INNER_IP = 8, INNER_L4 = 16, INWARD = 3 };
enum { IPV4 = 0x0800, IPV6 = 0x86dd, CUT_OFF = -1 };

/* A mask holds, for each layer, its bit times one of these: one byte for each outcome. */
enum { GOOD = 1, BAD = 1 << 8, ABSENT = 1 << 16, UNJUDGED = 1 << 24 };

/* A frame's layout as dissect.Layout has it, and its outcome as layers.Checked has it. */
struct judged {
    struct packet outer, inner;
    i64 vxlan, inside; /* offsets of the VXLAN header and of the inner packet; -1: none */
    i32 vni;           /* -1: none */
    u32 masks;         /* bits of layers times GOOD, BAD, ABSENT, UNJUDGED */
    u8 reason, trouble;
};

/* Returns the EtherType behind all VLAN tags. `*at` is the start of the Ethernet header before the
 * call, and the end of it afterwards. */
INLINE i32 ethertype(struct frame frame, i64 *at)
{
    i32 kind = CUT_OFF;
    for (*at += 14; *at <= frame.captured; *at += 4) {
        kind = (i32)u16_at(frame.bytes + *at - 2);
        if (kind != 0x8100 && kind != 0x88a8 && kind != 0x9100)
            return kind;
    }
    if (kind != CUT_OFF)
        *at -= 4; /* behind the last complete tag */
    return CUT_OFF;
}

static int is_tunnel_port(i32 port, const u16 *ports, u32 count)
{
    for (u32 i = 0; i < count; i++)
        if (ports[i] == port)
            return 1;
    return 0;
}

/* Implements dissect.dissect. Returns 0 if the frame is not IP, or is cut off before its
 * EtherType. */
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

#endif

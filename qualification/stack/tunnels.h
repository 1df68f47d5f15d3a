/* What is carried in UDP and in GRE; see tunnels.py. */

#ifndef VX_TUNNELS_H
#define VX_TUNNELS_H

#include "stack/layers.h"

enum {
    P_L2TP = 1701, P_GTP = 2152, P_TEREDO = 3544, P_GRE = 4754, P_VXLAN = 4789, P_GPE = 4790, P_GUE = 6080,
    P_GENEVE = 6081, P_MPLS = 6635, P_LINUX_VXLAN = 8472,
};

INLINE int enter(struct walk *walk, struct cursor *cursor, u8 carrier, i32 layer, i64 at)
{
    walk->carrier = carrier;
    go(cursor, layer, at);
    return 1;
}

INLINE void set_vni(struct walk *walk, u32 vni)
{
    if (walk->vni < 0)
        walk->vni = (i32)vni;
}

/* Each of these returns whether the payload of UDP, at the cursor, is what it looks for. */

static int is_vxlan(struct walk *walk, struct frame frame, struct cursor *cursor, i32 port, int asked)
{
    i64 at = cursor->at;
    const u8 *header = frame.bytes + at;
    if (at + 8 > cursor->limit || at + 8 > frame.captured) {
        if (asked && at + 8 > cursor->limit)
            add(walk, K_VXLAN, S_LENGTH, H_HEADER, at, cursor->limit);
        else if (asked)
            add(walk, K_VXLAN, S_UNJUDGED, walk->is_short ? H_SHORT : H_CUT, at, cursor->limit);
        return 0;
    }
    int plain = u32_at(header) == 0x08000000 && header[7] == 0;
    if (!asked && !(port == P_GPE ? (header[0] & 0xf8) == 0x08 && header[7] == 0
                                  : plain && (port == P_LINUX_VXLAN || seems_ethernet(frame, at + 8, cursor->limit))))
        return 0;
    if (!(header[0] & 0x08)) {
        if (seems_ethernet(frame, at + 8, cursor->limit))
            add(walk, K_VXLAN, S_WRONG, H_FLAG, at, at + 8);
        return 0;
    }
    i32 layer = L_ETHERNET;
    int gpe = header[0] & 0x04 && header[3];
    if (gpe)
        switch (header[3]) {
        case 1: layer = L_IPV4; break;
        case 2: layer = L_IPV6; break;
        case 3: break;
        case 4: layer = L_NSH; break;
        case 5: layer = L_MPLS; break;
        default:
            add(walk, K_LINK, S_UNJUDGED, H_PROTOCOL, at, cursor->limit);
            layer = L_END;
        }
    if (!asked && port != P_GPE)
        walk->noticed = port;
    set_vni(walk, u32_at(header + 4) >> 8);
    /* With an Ethernet frame inside, GPE is VXLAN. */
    return enter(walk, cursor, port == P_GPE || layer != L_ETHERNET ? C_GPE : C_VXLAN, layer, at + 8);
}

static int is_geneve(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    i64 at = cursor->at;
    if (at + 8 > cursor->limit || at + 8 > frame.captured)
        return 0;
    const u8 *header = frame.bytes + at;
    i64 inside = at + 8 + (header[0] & 0x3f) * 4;
    u32 type = u16_at(header + 2);
    if (header[0] >> 6 || header[7] || inside > cursor->limit ||
        (type != 0x6558 && type != 0x0800 && type != 0x86dd && type != 0x8847 && type != 0x894f))
        return 0;
    set_vni(walk, u32_at(header + 4) >> 8);
    cursor->type = (i32)type;
    return enter(walk, cursor, C_GENEVE, L_TYPE, inside);
}

static int is_gtp(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    i64 at = cursor->at, limit = cursor->limit < frame.captured ? cursor->limit : frame.captured;
    if (at + 8 > limit)
        return 0;
    const u8 *header = frame.bytes + at;
    if (header[0] >> 5 != 1 || !(header[0] & 0x10) || header[1] != 255)
        return 0;
    at += 8;
    if (header[0] & 7) {
        if (at + 4 > limit)
            return 0;
        u8 next = header[0] & 4 ? frame.bytes[at + 3] : 0;
        at += 4;
        while (next) {
            if (at + 4 > limit || !frame.bytes[at] || at + frame.bytes[at] * 4 > limit)
                return 0;
            at += frame.bytes[at] * 4;
            next = frame.bytes[at - 1];
        }
    }
    return seems_ip(frame, at, cursor->limit, 0) && enter(walk, cursor, C_GTP, L_IP, at);
}

static int is_gue(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    i64 at = cursor->at;
    if (at + 4 > cursor->limit || at + 4 > frame.captured)
        return 0;
    const u8 *header = frame.bytes + at;
    if (header[0] >> 6 == 1) /* variant 1: IP without a header of GUE */
        return seems_ip(frame, at, cursor->limit, 1) && enter(walk, cursor, C_GUE, L_IP, at);
    i64 inside = at + 4 + (header[0] & 0x1f) * 4;
    if (header[0] >> 5 || inside > cursor->limit) /* another variant, or a control message */
        return 0;
    if (header[1] == 4 || header[1] == 41)
        return enter(walk, cursor, C_GUE, header[1] == 4 ? L_IPV4 : L_IPV6, inside);
    return header[1] == 47 && enter(walk, cursor, C_GUE, L_GRE, inside);
}

static int is_l2tp(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    i64 at = cursor->at, limit = cursor->limit < frame.captured ? cursor->limit : frame.captured;
    if (at + 12 > limit)
        return 0;
    const u8 *header = frame.bytes + at;
    if ((header[1] & 15) != 2 || header[0] & 0xb4) /* version 2, data, no reserved bits */
        return 0;
    at += 6 + (header[0] & 0x40 ? 2 : 0) + (header[0] & 0x08 ? 4 : 0);
    if (header[0] & 0x02) {
        if (at + 2 > limit)
            return 0;
        at += 2 + (i64)u16_at(frame.bytes + at);
    }
    return at + 4 <= limit && enter(walk, cursor, C_L2TP, L_PPP, at);
}

/* Teredo puts an authentication and an origin before the packet (RFC 4380, 5.1.1). */
static int is_teredo(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    i64 at = cursor->at, limit = cursor->limit < frame.captured ? cursor->limit : frame.captured;
    if (at + 13 <= limit && u16_at(frame.bytes + at) == 1)
        at += 13 + frame.bytes[at + 2] + frame.bytes[at + 3];
    if (at + 8 <= limit && u16_at(frame.bytes + at) == 0)
        at += 8;
    return seems_ip(frame, at, cursor->limit, 0) && enter(walk, cursor, C_FOU, L_IP, at);
}

static int is_fou(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    return seems_ip(frame, cursor->at, cursor->limit, 1) && enter(walk, cursor, C_FOU, L_IP, cursor->at);
}

static int is_carried(struct walk *walk, struct frame frame, struct cursor *cursor, i32 port, int asked)
{
    if (asked || port == P_GPE || port == P_LINUX_VXLAN)
        return is_vxlan(walk, frame, cursor, port, asked);
    switch (port) {
    case P_GENEVE: return is_geneve(walk, frame, cursor);
    case P_GTP: return is_gtp(walk, frame, cursor);
    case P_GUE: return is_gue(walk, frame, cursor);
    case P_MPLS: return enter(walk, cursor, C_MPLS, L_MPLS, cursor->at);
    case P_GRE: return enter(walk, cursor, C_GRE, L_GRE, cursor->at);
    case P_L2TP: return is_l2tp(walk, frame, cursor);
    case P_TEREDO: return is_teredo(walk, frame, cursor);
    }
    if (cursor->at >= cursor->limit || cursor->at >= frame.captured)
        return 0;
    switch (frame.bytes[cursor->at] >> 4) {
    case 0: return is_vxlan(walk, frame, cursor, port, 0);
    case 4: case 6: return is_fou(walk, frame, cursor);
    }
    return 0;
}

/* Looks for a tunnel behind the UDP header at the cursor. Over IPv6 a tunnel may go without a
 * checksum (RFC 6935); nothing else may. */
static void udp_layer(struct walk *walk, struct frame frame, struct cursor *cursor, const u16 *ports, u32 count)
{
    struct ip_packet *packet = &walk->packets[walk->depth - 1];
    u32 own = walk->used - 1;
    i32 port = packet->destination_port;
    int asked = 0;
    for (u32 i = 0; i < count; i++)
        asked |= ports[i] == port;
    cursor->layer = L_END;
    cursor->at += 8;
    int carried = is_carried(walk, frame, cursor, port, asked);
    struct sum *sum = &walk->sums[own];
    if ((carried || asked) && sum->kind == K_UDP && sum->state == S_OPEN && 
        !u16_at(frame.bytes + sum->field))
        sum->state = S_ABSENT;
}

static void gre_layer(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    i64 at = cursor->at;
    if (!have(walk, frame, cursor, 4, K_GRE))
        return;
    const u8 *header = frame.bytes + at;
    u32 flags = u16_at(header), type = u16_at(header + 2);
    int version = flags & 7;
    i64 length = 4 + (flags & 0x8000 ? 4 : 0) + (flags & 0x2000 ? 4 : 0) + (flags & 0x1000 ? 4 : 0) +
                 (version == 1 && flags & 0x0080 ? 4 : 0);
    if (version > 1 || flags & 0x4000) { /* a source route (RFC 1701), or no GRE at all */
        add(walk, K_GRE, S_UNJUDGED, H_PROTOCOL, at, cursor->limit);
        cursor->layer = L_END;
        return;
    }
    if (!have(walk, frame, cursor, length, K_GRE))
        return;
    if (flags & 0x8000)
        add(walk, K_GRE, S_OPEN, H_NONE, at, cursor->limit)->field = (i32)at + 4;
    if (walk->carrier == C_NONE)
        walk->carrier = C_GRE;
    cursor->at = at += length;
    if (version == 1) /* PPTP: without a sequence number it carries nothing (RFC 2637, 4.1) */
        return go(cursor, flags & 0x1000 ? L_PPP : L_END, at);
    switch (type) {
    case 0x6558:
        if (flags & 0x2000) {
            walk->carrier = C_NVGRE;
            set_vni(walk, u32_at(header + (flags & 0x8000 ? 8 : 4)) >> 8);
        }
        return go(cursor, L_ETHERNET, at);
    case 0x88be:
        walk->carrier = C_ERSPAN;
        return go(cursor, L_ETHERNET, at + (flags & 0x1000 ? 8 : 0));
    case 0x22eb:
        walk->carrier = C_ERSPAN;
        if (have(walk, frame, cursor, 12, K_LINK))
            go(cursor, L_ETHERNET, at + 12 + (frame.bytes[at + 11] & 1 ? 8 : 0));
        return;
    case 0x883e: /* WCCP: with its redirect header or without */
        if (have(walk, frame, cursor, 4, K_LINK))
            go(cursor, L_IPV4, at + (frame.bytes[at] >> 4 == 4 ? 0 : 4));
        return;
    }
    if (type <= 1500)
        return go(cursor, L_END, at);
    go_type(cursor, type, at);
}

#endif

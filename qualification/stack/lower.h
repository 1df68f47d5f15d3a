/* The layers below IP: link types, EtherTypes, LLC, PPP, MPLS, 802.11; see lower.py. */

#ifndef VX_LOWER_H
#define VX_LOWER_H

#include "stack/layers.h"

INLINE u32 le16_at(const u8 *at) { return at[0] | (u32)at[1] << 8; }

/* Returns the layer for a family as BSD numbers it, in either byte order. */
static i32 bsd_family(const u8 *at)
{
    u32 family = u32_at(at);
    if (family > 0xffff)
        family = __builtin_bswap32(family);
    return family == 2 ? L_IPV4 : family == 10 || family == 24 || family == 28 || family == 30 ? L_IPV6 : L_END;
}

static void nflog(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    if (!have(walk, frame, cursor, 4, K_LINK))
        return;
    u8 family = frame.bytes[0];
    i64 at = 4;
    while (at + 4 <= frame.captured) {
        i64 length = le16_at(frame.bytes + at), type = le16_at(frame.bytes + at + 2);
        if (length < 4 || at + length > cursor->limit) {
            length = u16_at(frame.bytes + at);
            type = u16_at(frame.bytes + at + 2);
        }
        if (length < 4 || at + length > cursor->limit)
            break;
        if ((type & 0x7fff) == 9) {
            go(cursor, family == 2 ? L_IPV4 : family == 10 ? L_IPV6 : L_END, at + 4);
            cursor->limit = at + length;
            return;
        }
        at += (length + 3) & ~3;
    }
    cursor->at = at;
    if (at < cursor->limit && at + 4 > frame.captured)
        have(walk, frame, cursor, 4, K_LINK);
    cursor->layer = L_END;
}

/* Begins a walk at the header of a link type. */
static void begin(struct walk *walk, struct frame frame, struct cursor *cursor, u32 link)
{
    i64 need = 0;
    cursor->layer = L_END;
    switch (link) {
    case 1: return go(cursor, L_ETHERNET, 0);
    case 12: case 14: case 101: return go(cursor, L_IP, 0);
    case 228: return go(cursor, L_IPV4, 0);
    case 229: return go(cursor, L_IPV6, 0);
    case 9: case 50: return go(cursor, L_PPP, 0);
    case 51: return go(cursor, L_PPPOE, 0);
    case 100: return go(cursor, L_LLC, 0);
    case 105: return go(cursor, L_WLAN, 0);
    case 219: return go(cursor, L_MPLS, 0);
    case 239: return nflog(walk, frame, cursor);
    case 240: return go(cursor, L_ETHERNET, 4);
    case 0: case 108: case 104: case 127: need = 4; break;
    case 117: case 204: case 205: need = 1; break;
    case 6: need = 15; break;
    case 10: need = 13; break;
    case 109: need = 12; break;
    case 113: case 122: need = 16; break;
    case 119: case 163: case 192: need = 8; break;
    case 138: need = 18; break;
    case 166: need = 2; break;
    case 276: need = 20; break;
    default:
        add(walk, K_LINK, S_UNJUDGED, H_LINK_TYPE, 0, cursor->limit);
        return;
    }
    if (!have(walk, frame, cursor, need, K_LINK))
        return;
    const u8 *bytes = frame.bytes;
    switch (link) {
    case 0: case 108: return go(cursor, bsd_family(bytes), 4);
    case 104: return go_type(cursor, u16_at(bytes + 2), 4);
    case 127: return go(cursor, L_WLAN, le16_at(bytes + 2));
    case 117: return go(cursor, L_IP, (bytes[0] + 3) & ~3);
    case 204: case 205:
        walk->direction = bytes[0] ? 2 : 1;
        if (link == 204)
            return go(cursor, L_PPP, 1);
        cursor->at = 1;
        if (have(walk, frame, cursor, 4, K_LINK))
            go_type(cursor, u16_at(bytes + 3), 5);
        return;
    case 6: return go(cursor, L_LLC, 14 + (bytes[8] & 0x80 ? bytes[14] & 0x1f : 0));
    case 10: return go(cursor, L_LLC, 13);
    case 109: return go(cursor, L_IP, 12);
    case 122: return go(cursor, L_LLC, 16);
    case 113:
        walk->direction = u16_at(bytes) == 4 ? 2 : 1;
        return go_type(cursor, u16_at(bytes + 14), 16);
    case 276:
        walk->direction = bytes[10] == 4 ? 2 : 1;
        return go_type(cursor, u16_at(bytes), 20);
    case 119: return go(cursor, L_WLAN, le16_at(bytes + 4) ? le16_at(bytes + 4) : u16_at(bytes + 6));
    case 163: return go(cursor, L_WLAN, u16_at(bytes + 6));
    case 192:
        return go(cursor, le16_at(bytes + 4) == 105 ? L_WLAN : le16_at(bytes + 4) == 1 ? L_ETHERNET : L_END,
                  le16_at(bytes + 2));
    case 138: return go_type(cursor, u16_at(bytes + 16), 18);
    case 166: return go(cursor, L_PPP, 2);
    }
}

/* Returns the bytes between an EtherType of a tag and the EtherType behind the tag; 0: no tag. */
INLINE i64 tag_length(u32 type)
{
    switch (type) {
    case 0x8100: case 0x88a8: case 0x9100: case 0x9200: case 0x9300: return 2;
    case 0x8926: case 0x892f: return 4; /* VN-Tag, HSR */
    case 0x893f: return 6;              /* E-Tag */
    }
    return 0;
}

static void ethertype_layer(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    u32 type = (u32)cursor->type;
    i64 at = cursor->at, tag = tag_length(type);
    if (type == 0x0800)
        return go(cursor, L_IPV4, at);
    if (type == 0x86dd)
        return go(cursor, L_IPV6, at);
    if (tag) {
        if (have(walk, frame, cursor, tag + 2, K_LINK))
            go_type(cursor, u16_at(frame.bytes + at + tag), at + tag + 2);
        return;
    }
    if (type <= 1500)
        return go(cursor, L_LLC, at);
    switch (type) {
    case 0x8847: case 0x8848: return go(cursor, L_MPLS, at);
    case 0x8864: return go(cursor, L_PPPOE, at);
    case 0x880b: return go(cursor, L_PPP, at);
    case 0x88e7: return go(cursor, L_ETHERNET, at + 4); /* PBB: the I-SID */
    case 0x6558: return go(cursor, L_ETHERNET, at);
    case 0x894f: return go(cursor, L_NSH, at);
    case 0x88e5: /* MACsec */
        if (!have(walk, frame, cursor, 6, K_LINK))
            return;
        if (frame.bytes[at] & 0x0c) {
            add(walk, K_LINK, S_UNJUDGED, H_ENCRYPTED, at, cursor->limit);
            cursor->layer = L_END;
            return;
        }
        cursor->at = at += frame.bytes[at] & 0x20 ? 14 : 6;
        if (have(walk, frame, cursor, 2, K_LINK))
            go_type(cursor, u16_at(frame.bytes + at), at + 2);
        return;
    }
    cursor->layer = L_END;
}

static void llc(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    if (!have(walk, frame, cursor, 3, K_LINK))
        return;
    const u8 *header = frame.bytes + cursor->at;
    u32 saps = u16_at(header);
    if (saps == 0x0606 && header[2] == 3)
        return go(cursor, L_IPV4, cursor->at + 3);
    if (saps == 0xfefe && header[2] == 3) {
        if (have(walk, frame, cursor, 4, K_LINK))
            go(cursor, header[3] == 0xcc ? L_IPV4 : header[3] == 0x8e ? L_IPV6 : L_END, cursor->at + 4);
        return;
    }
    cursor->layer = L_END;
    if (saps != 0xaaaa || header[2] != 3 || !have(walk, frame, cursor, 8, K_LINK))
        return;
    u32 organisation = u32_at(header + 2) & 0xffffff;
    if (organisation == 0 || organisation == 0x0000f8)
        go_type(cursor, u16_at(header + 6), cursor->at + 8);
}

static void ppp(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    if (!have(walk, frame, cursor, 2, K_LINK))
        return;
    i64 at = cursor->at;
    const u8 *header = frame.bytes + at;
    if ((header[0] == 0x0f || header[0] == 0x8f) && header[1] == 0) { /* Cisco's HDLC */
        if (have(walk, frame, cursor, 4, K_LINK))
            go_type(cursor, u16_at(header + 2), at + 4);
        return;
    }
    if (header[0] == 0xff && header[1] == 3)
        cursor->at = at += 2;
    if (!have(walk, frame, cursor, 2, K_LINK))
        return;
    header = frame.bytes + at;
    u32 protocol = header[0] & 1 ? header[0] : u16_at(header);
    at += header[0] & 1 ? 1 : 2;
    switch (protocol) {
    case 0x0021: return go(cursor, L_IPV4, at);
    case 0x0057: return go(cursor, L_IPV6, at);
    case 0x0281: case 0x0283: return go(cursor, L_MPLS, at);
    case 0x002d: case 0x002f: case 0x00fd:
        add(walk, K_LINK, S_UNJUDGED, H_COMPRESSED, at, cursor->limit);
        break;
    case 0x0053:
        add(walk, K_LINK, S_UNJUDGED, H_ENCRYPTED, at, cursor->limit);
        break;
    }
    cursor->layer = L_END;
}

static void pppoe(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    if (!have(walk, frame, cursor, 6, K_LINK))
        return;
    const u8 *header = frame.bytes + cursor->at;
    i64 end = cursor->at + 6 + (i64)u16_at(header + 4);
    if (header[0] != 0x11 || header[1])
        return go(cursor, L_END, 0);
    if (end < cursor->limit)
        cursor->limit = end;
    go(cursor, L_PPP, cursor->at + 6);
}

static void mpls(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    i64 at = cursor->at;
    for (int labels = 0;; labels++) {
        cursor->at = at;
        if (labels == 16)
            return go(cursor, L_END, at);
        if (!have(walk, frame, cursor, 4, K_LINK))
            return;
        at += 4;
        if (frame.bytes[at - 2] & 1)
            break;
    }
    cursor->at = at;
    if (!have(walk, frame, cursor, 1, K_LINK))
        return;
    u8 first = frame.bytes[at] >> 4;
    if (first != 4 && first != 6 && seems_ethernet(frame, at, cursor->limit))
        return go(cursor, L_ETHERNET, at);
    if (first == 0 && seems_ethernet(frame, at + 4, cursor->limit)) /* a control word (RFC 4385) */
        return go(cursor, L_ETHERNET, at + 4);
    if (!seems_ip(frame, at, cursor->limit, 0) && seems_ethernet(frame, at, cursor->limit))
        return go(cursor, L_ETHERNET, at);
    go(cursor, L_IP, at);
}

static void nsh(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    if (!have(walk, frame, cursor, 8, K_LINK))
        return;
    const u8 *header = frame.bytes + cursor->at;
    i64 at = cursor->at + (header[1] & 0x3f) * 4;
    switch (header[3]) {
    case 1: return go(cursor, L_IPV4, at);
    case 2: return go(cursor, L_IPV6, at);
    case 3: return go(cursor, L_ETHERNET, at);
    case 5: return go(cursor, L_MPLS, at);
    }
    cursor->layer = L_END;
}

static void wlan(struct walk *walk, struct frame frame, struct cursor *cursor)
{
    if (!have(walk, frame, cursor, 24, K_LINK))
        return;
    const u8 *header = frame.bytes + cursor->at;
    u8 quality = header[0] & 0x80;
    i64 length = 24 + ((header[1] & 3) == 3 ? 6 : 0);
    if ((header[0] & 0x0c) != 0x08 || header[0] & 0x40) /* no data */
        return go(cursor, L_END, 0);
    if (quality) {
        if (!have(walk, frame, cursor, length + 2, K_LINK))
            return;
        u8 aggregated = header[length] & 0x80;
        length += header[1] & 0x80 ? 6 : 2;
        if (aggregated && !(header[1] & 0x40)) {
            add(walk, K_LINK, S_UNJUDGED, H_AGGREGATE, cursor->at, cursor->limit);
            return go(cursor, L_END, 0);
        }
    }
    if (header[1] & 0x40) {
        add(walk, K_LINK, S_UNJUDGED, H_ENCRYPTED, cursor->at, cursor->limit);
        return go(cursor, L_END, 0);
    }
    i64 at = cursor->at + length; /* some drivers pad the header to four bytes */
    if (length % 4 && at + 4 <= frame.captured && u16_at(frame.bytes + at) == 0 &&
        u16_at(frame.bytes + at + 2) == 0xaaaa)
        at += 2;
    go(cursor, L_LLC, at);
}

#endif

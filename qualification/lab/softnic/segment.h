/* Segmentation and checksums, as a NIC without faults does them: the same as tx_descriptor.py, which reads
 * the buffers that the kernel submits, and offload.py, which segments them and computes their
 * checksums. The sources are named there.
 */

#ifndef VX_SEGMENT_H
#define VX_SEGMENT_H

#include "wire/bytes.h"

enum { GSO_NONE = 0, GSO_UDP = 5, GSO_ECN = 0x80, GSO_TUNNEL = 0x60 };
enum { NEEDS_CSUM = 1, TUNNEL_CSUM = 8 };
enum { UDP_LENGTH = 4, UDP_CHECK = 6, TCP_SEQ = 4, TCP_DATA_OFFSET = 12, TCP_FLAGS = 13, TCP_CHECK = 16 };
enum { FIN = 0x01, PSH = 0x08, CWR = 0x80 };
enum { TUNNEL_HEADER = 24 }; /* least size of a vnet header that describes tunnels */

static u32 little16(const u8 *at)
{
    return (u32)at[1] << 8 | at[0];
}

static void zero(u8 *to, size length)
{
    for (; length; to++, length--) {
        *to = 0;
        __asm__ volatile("" ::: "memory");
    }
}

/* Implement checksum.checksum and checksum.udp_checksum. */
static u32 complement(u32 total)
{
    total %= 65535;
    return total ? 65535 - total : 0;
}

static u32 udp_complement(u32 total)
{
    return 65535 - total % 65535;
}

/* tx_descriptor.TxDescriptor. Offsets are from the start of the frame; 0 where there is no such header. */
struct tx_descriptor {
    const u8 *frame;
    size length, csum_start, csum_offset, gso_size, l3, l4, inner_l3;
    u32 needs_csum, gso, tunnel, tunnel_csum;
};

/* An IP header and its UDP or TCP header, from which those of each segment are made. */
struct layer {
    size l3, l4;
    u32 v4, ident, ip_sum, pseudo, sequence, flags;
};

/* The state of a descriptor: the payload of the next segment starts at `next`. */
struct segmenter {
    const struct tx_descriptor *descriptor;
    struct layer outer, inner;
    size header_size, next;
    u32 is_super, udp, index;
};

static void find_outer(struct tx_descriptor *descriptor)
{
    const u8 *frame = descriptor->frame;
    size length = descriptor->length, l3 = 14, l4;

    descriptor->l3 = descriptor->l4 = 0;
    while (l3 <= length && (u16_at(frame + l3 - 2) == 0x8100 || u16_at(frame + l3 - 2) == 0x88a8))
        l3 += 4;
    if (l3 > length)
        return;
    if (u16_at(frame + l3 - 2) == 0x0800 && length > l3) {
        descriptor->l3 = l3;
        descriptor->l4 = l3 + (frame[l3] & 0x0f) * 4;
    } else if (u16_at(frame + l3 - 2) == 0x86dd && length >= l3 + 40) {
        u8 protocol = frame[l3 + 6];
        for (l4 = l3 + 40; (protocol == 0 || protocol == 43 || protocol == 60) && length >= l4 + 2;) {
            protocol = frame[l4];
            l4 += (frame[l4 + 1] + 1) * (size)8;
        }
        descriptor->l3 = l3;
        descriptor->l4 = l4;
    }
}

/* Implements tx_descriptor.parse, for a buffer that is at least as long as its vnet header. */
static void parse(struct tx_descriptor *descriptor, const u8 *submitted, size length, size header)
{
    u32 flags = submitted[0], type = submitted[1];

    descriptor->frame = submitted + header;
    descriptor->length = length - header;
    descriptor->needs_csum = flags & NEEDS_CSUM;
    descriptor->gso = type & ~(u32)(GSO_TUNNEL | GSO_ECN);
    descriptor->gso_size = little16(submitted + 4);
    descriptor->csum_start = little16(submitted + 6);
    descriptor->csum_offset = little16(submitted + 8);
    descriptor->tunnel = type & GSO_TUNNEL && header >= TUNNEL_HEADER;
    descriptor->tunnel_csum = flags & TUNNEL_CSUM;
    descriptor->inner_l3 = 0;
    find_outer(descriptor);
    if (descriptor->tunnel) /* a negative offset wraps around to one beyond the frame's end */
        descriptor->inner_l3 = little16(submitted + 22) + descriptor->l4 - little16(submitted + 20);
}

/* Implements offload._fits: whether the IP header at l3 ends at or before l4, which is in the
 * frame. */
static int fits(const u8 *frame, size l3, size l4)
{
    if (l3 < 14 || l3 >= l4)
        return 0;
    if (frame[l3] >> 4 != 4)
        return l3 + 40 <= l4;
    return (frame[l3] & 0x0f) >= 5 && l3 + (frame[l3] & 0x0f) * 4 <= l4;
}

static void read_layer(struct layer *layer, const u8 *frame, size l3, size l4, u32 protocol)
{
    size addresses = l3 + 8, both = 32;

    layer->l3 = l3;
    layer->l4 = l4;
    layer->v4 = frame[l3] >> 4 == 4;
    if (layer->v4) {
        addresses = l3 + 12;
        both = 8;
        layer->ident = u16_at(frame + l3 + 4);
        layer->ip_sum = ones_sum(frame + l3, (frame[l3] & 0x0f) * 4) + 3 * 65535 - u16_at(frame + l3 + 2)
                        - u16_at(frame + l3 + 4) - u16_at(frame + l3 + 10);
    }
    layer->pseudo = ones_sum(frame + addresses, both) + protocol;
    if (protocol == TCP) {
        layer->sequence = u32_at(frame + l4 + TCP_SEQ);
        layer->flags = frame[l4 + TCP_FLAGS];
    }
}

static void write_ip(const struct layer *layer, u8 *segment, size whole, u32 index)
{
    u8 *ip = segment + layer->l3;
    u32 length = (u32)(whole - layer->l3), ident = (layer->ident + index) & 0xffff;

    if (!layer->v4) {
        put16(ip + 4, length - 40);
        return;
    }
    length &= 0xffff;
    put16(ip + 2, length);
    put16(ip + 4, ident);
    put16(ip + 10, complement(layer->ip_sum + length + ident));
}

static void write_udp(const struct layer *layer, u8 *segment, size whole, size header_size,
                      u32 payload_sum, int asked)
{
    u8 *udp = segment + layer->l4;
    u32 length = (u32)(whole - layer->l4);

    put16(udp + UDP_LENGTH, length);
    if (!asked)
        return;
    put16(udp + UDP_CHECK, 0);
    put16(udp + UDP_CHECK, udp_complement(layer->pseudo + length + payload_sum
                                          + ones_sum(udp, header_size - layer->l4)));
}

static void write_tcp(const struct layer *layer, u8 *segment, size whole, size header_size,
                      u32 payload_sum, size offset, int last)
{
    u8 *tcp = segment + layer->l4;
    u32 flags = last ? layer->flags : layer->flags & ~(u32)(FIN | PSH);

    tcp[TCP_FLAGS] = (u8)(offset ? flags & ~(u32)CWR : flags);
    put32(tcp + TCP_SEQ, layer->sequence + (u32)offset);
    put16(tcp + TCP_CHECK, 0);
    put16(tcp + TCP_CHECK, complement(layer->pseudo + (u32)(whole - layer->l4) + payload_sum
                                      + ones_sum(tcp, header_size - layer->l4)));
}

/* Begins a descriptor. Returns whether it makes any frame. */
static int begin(struct segmenter *segmenter, const struct tx_descriptor *descriptor)
{
    const u8 *frame = descriptor->frame;
    size l4 = descriptor->csum_start, l3 = descriptor->tunnel ? descriptor->inner_l3 : descriptor->l3;

    segmenter->descriptor = descriptor;
    segmenter->index = 0;
    segmenter->next = 0;
    segmenter->udp = descriptor->gso == GSO_UDP;
    segmenter->is_super = descriptor->gso != GSO_NONE && descriptor->gso_size;
    if (!segmenter->is_super)
        return 1;
    segmenter->header_size = l4 + (segmenter->udp ? 8 : 20);
    if (segmenter->header_size > descriptor->length)
        return 0;
    if (!segmenter->udp) {
        segmenter->header_size = l4 + (frame[l4 + TCP_DATA_OFFSET] >> 4) * 4;
        if (segmenter->header_size < l4 + 20 || segmenter->header_size > descriptor->length)
            return 0;
    }
    if (!fits(frame, l3, l4))
        return 0;
    if (descriptor->tunnel) {
        if (l3 < descriptor->l4 + 8 || !fits(frame, descriptor->l3, descriptor->l4))
            return 0;
        read_layer(&segmenter->outer, frame, descriptor->l3, descriptor->l4, UDP);
    }
    read_layer(&segmenter->inner, frame, l3, l4, segmenter->udp ? UDP : TCP);
    segmenter->next = segmenter->header_size;
    return 1;
}

/* Returns whether another frame is to be made. A descriptor without payload makes one frame, too. */
static int more(const struct segmenter *segmenter)
{
    return !segmenter->index || (segmenter->is_super && segmenter->next < segmenter->descriptor->length);
}

static size next_length(const struct segmenter *segmenter)
{
    const struct tx_descriptor *descriptor = segmenter->descriptor;
    size left = descriptor->length - segmenter->next;

    if (!segmenter->is_super)
        return descriptor->length;
    return segmenter->header_size + (left < descriptor->gso_size ? left : descriptor->gso_size);
}

/* Makes the next frame, `whole` bytes long: the length that next_length returned. */
static void make_next(struct segmenter *segmenter, u8 *to, size whole)
{
    const struct tx_descriptor *descriptor = segmenter->descriptor;
    size header_size = segmenter->header_size, start = segmenter->next;
    u32 payload_sum;

    if (!segmenter->is_super) {
        size at = descriptor->csum_start + descriptor->csum_offset;
        copy(to, descriptor->frame, whole);
        if (descriptor->needs_csum && at + 2 <= whole) {
            u32 total = ones_sum(to + descriptor->csum_start, whole - descriptor->csum_start);
            put16(to + at, descriptor->csum_offset == UDP_CHECK ? udp_complement(total) : complement(total));
        }
        segmenter->index = 1;
        return;
    }
    copy(to, descriptor->frame, header_size);
    copy(to + header_size, descriptor->frame + start, whole - header_size);
    payload_sum = ones_sum(to + header_size, whole - header_size);
    segmenter->next = start + whole - header_size;
    write_ip(&segmenter->inner, to, whole, segmenter->index);
    if (segmenter->udp)
        write_udp(&segmenter->inner, to, whole, header_size, payload_sum, 1);
    else
        write_tcp(&segmenter->inner, to, whole, header_size, payload_sum, start - header_size,
                  segmenter->next >= descriptor->length);
    if (descriptor->tunnel) {
        write_ip(&segmenter->outer, to, whole, segmenter->index);
        write_udp(&segmenter->outer, to, whole, header_size, payload_sum, descriptor->tunnel_csum != 0);
    }
    segmenter->index++;
}

#endif

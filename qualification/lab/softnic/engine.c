/* The soft NIC: what an honest NIC does to a frame, and frames from one TAP to another.
 *
 * The same as job.py, which reads what the kernel hands over, and offload.py, which does what it
 * left undone; sources are named there. engine.py works with it.
 */

#include "wire/bytes.h"

/* ---- cutting: what an honest NIC does to a frame --------------------------------------------- */

enum { GSO_NONE = 0, GSO_UDP = 5, GSO_ECN = 0x80, GSO_TUNNEL = 0x60 };
enum { NEEDS_CSUM = 1, TUNNEL_CSUM = 8 };
enum { UDP_LENGTH = 4, UDP_CHECK = 6, TCP_SEQ = 4, TCP_DATA_OFFSET = 12, TCP_FLAGS = 13, TCP_CHECK = 16 };
enum { FIN = 0x01, PSH = 0x08, CWR = 0x80 };
enum { TUNNEL_HEADER = 24 }; /* of a vnet header, the least that tells of tunnels */

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

/* checksum.checksum and checksum.udp_checksum */
static u32 complement(u32 total)
{
    total %= 65535;
    return total ? 65535 - total : 0;
}

static u32 udp_complement(u32 total)
{
    return 65535 - total % 65535;
}

/* job.Job: offsets are from the frame's start, 0 where there is no such header. */
struct job {
    const u8 *frame;
    size length, csum_start, csum_offset, gso_size, l3, l4, inner_l3;
    u32 needs_csum, gso, tunnel, tunnel_csum;
};

/* An IP header with UDP or TCP on it, as it has to be written into each segment. */
struct layer {
    size l3, l4;
    u32 v4, ident, ip_sum, pseudo, sequence, flags;
};

/* A job under way: the segments that are still to be made start at `next`. */
struct cut {
    const struct job *job;
    struct layer outer, inner;
    size header_size, next;
    u32 super, udp, index;
};

static void find_outer(struct job *job)
{
    const u8 *frame = job->frame;
    size length = job->length, l3 = 14, l4;

    job->l3 = job->l4 = 0;
    while (l3 <= length && (u16_at(frame + l3 - 2) == 0x8100 || u16_at(frame + l3 - 2) == 0x88a8))
        l3 += 4;
    if (l3 > length)
        return;
    if (u16_at(frame + l3 - 2) == 0x0800 && length > l3) {
        job->l3 = l3;
        job->l4 = l3 + (frame[l3] & 0x0f) * 4;
    } else if (u16_at(frame + l3 - 2) == 0x86dd && length >= l3 + 40) {
        u8 protocol = frame[l3 + 6];
        for (l4 = l3 + 40; (protocol == 0 || protocol == 43 || protocol == 60) && length >= l4 + 2;) {
            protocol = frame[l4];
            l4 += (frame[l4 + 1] + 1) * (size)8;
        }
        job->l3 = l3;
        job->l4 = l4;
    }
}

/* job.parse; of a buffer that is no shorter than the vnet header */
static void parse(struct job *job, const u8 *submitted, size length, size header)
{
    u32 flags = submitted[0], type = submitted[1];

    job->frame = submitted + header;
    job->length = length - header;
    job->needs_csum = flags & NEEDS_CSUM;
    job->gso = type & ~(u32)(GSO_TUNNEL | GSO_ECN);
    job->gso_size = little16(submitted + 4);
    job->csum_start = little16(submitted + 6);
    job->csum_offset = little16(submitted + 8);
    job->tunnel = type & GSO_TUNNEL && header >= TUNNEL_HEADER;
    job->tunnel_csum = flags & TUNNEL_CSUM;
    job->inner_l3 = 0;
    find_outer(job);
    if (job->tunnel) /* below 0 it wraps around, and is beyond the frame's end */
        job->inner_l3 = little16(submitted + 22) + job->l4 - little16(submitted + 20);
}

/* offload._fits: whether the IP header at l3 lies before l4. `l4` is in the frame. */
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

/* Begins a job; says whether it gives any frame. */
static int begin(struct cut *cut, const struct job *job)
{
    const u8 *frame = job->frame;
    size l4 = job->csum_start, l3 = job->tunnel ? job->inner_l3 : job->l3;

    cut->job = job;
    cut->index = 0;
    cut->next = 0;
    cut->udp = job->gso == GSO_UDP;
    cut->super = job->gso != GSO_NONE && job->gso_size;
    if (!cut->super)
        return 1;
    cut->header_size = l4 + (cut->udp ? 8 : 20);
    if (cut->header_size > job->length)
        return 0;
    if (!cut->udp) {
        cut->header_size = l4 + (frame[l4 + TCP_DATA_OFFSET] >> 4) * 4;
        if (cut->header_size < l4 + 20 || cut->header_size > job->length)
            return 0;
    }
    if (!fits(frame, l3, l4))
        return 0;
    if (job->tunnel) {
        if (l3 < job->l4 + 8 || !fits(frame, job->l3, job->l4))
            return 0;
        read_layer(&cut->outer, frame, job->l3, job->l4, UDP);
    }
    read_layer(&cut->inner, frame, l3, l4, cut->udp ? UDP : TCP);
    cut->next = cut->header_size;
    return 1;
}

/* A job without payload gives one frame too. */
static int more(const struct cut *cut)
{
    return !cut->index || (cut->super && cut->next < cut->job->length);
}

static size next_length(const struct cut *cut)
{
    const struct job *job = cut->job;
    size left = job->length - cut->next;

    if (!cut->super)
        return job->length;
    return cut->header_size + (left < job->gso_size ? left : job->gso_size);
}

/* Makes the next frame, of the length that `next_length` has told. */
static void make_next(struct cut *cut, u8 *to, size whole)
{
    const struct job *job = cut->job;
    size header_size = cut->header_size, start = cut->next;
    u32 payload_sum;

    if (!cut->super) {
        size at = job->csum_start + job->csum_offset;
        copy(to, job->frame, whole);
        if (job->needs_csum && at + 2 <= whole) {
            u32 total = ones_sum(to + job->csum_start, whole - job->csum_start);
            put16(to + at, job->csum_offset == UDP_CHECK ? udp_complement(total) : complement(total));
        }
        cut->index = 1;
        return;
    }
    copy(to, job->frame, header_size);
    copy(to + header_size, job->frame + start, whole - header_size);
    payload_sum = ones_sum(to + header_size, whole - header_size);
    cut->next = start + whole - header_size;
    write_ip(&cut->inner, to, whole, cut->index);
    if (cut->udp)
        write_udp(&cut->inner, to, whole, header_size, payload_sum, 1);
    else
        write_tcp(&cut->inner, to, whole, header_size, payload_sum, start - header_size,
                  cut->next >= job->length);
    if (job->tunnel) {
        write_ip(&cut->outer, to, whole, cut->index);
        write_udp(&cut->outer, to, whole, header_size, payload_sum, job->tunnel_csum != 0);
    }
    cut->index++;
}

/* offload.finish: all frames of one job behind one another, and how long each is.
 * Gives their number, or -1 where there is not room for so many bytes or frames. */
EXPORT long vx_finish(const u8 *submitted, size length, size header, u8 *out, size room, u32 *lengths,
                      size most)
{
    struct job job;
    struct cut cut;
    size whole, number = 0;

    parse(&job, submitted, length, header);
    if (!begin(&cut, &job))
        return 0;
    for (; more(&cut); out += whole, room -= whole, number++) {
        whole = next_length(&cut);
        if (number == most || whole > room)
            return -1;
        make_next(&cut, out, whole);
        lengths[number] = (u32)whole;
    }
    return (long)number;
}

/* ---- carrying: frames from one TAP to another ------------------------------------------------ */

enum { TAKEN, UNREAD, SUPER, SEGMENTS, SENT, DROPPED }; /* lab/counters.NAMES */
enum { TOUCH_NONE, TOUCH_SEGMENTED, TOUCH_UNFINISHED, TOUCH_ALL }; /* lab/engine._TOUCHES */
enum { EAGAIN = 11, EINVAL = 22, SHORTEST = 60 };

/* What the caller has: the libc of its process, buffers, counters, and how much to do. */
struct carry {
    long (*read)(int, void *, size);
    long (*write)(int, const void *, size);
    int *(*errno_at)(void);
    u8 *buffer; /* takes what is read */
    size room;
    u8 *out; /* holds one frame with its vnet header: room + 128 bytes */
    u64 *counts;
    u64 left; /* frames to take until the other end has its turn */
    u32 touches; /* which frames the firmware has to see */
};

/* Takes frames from one TAP, finishes them and gives them to the other, each by its own write.
 *
 * Stops at a frame that the firmware has to see, which is in the buffer then, and gives its length
 * with the vnet header; 0 when there is no more for now; -errno when the TAP is broken. */
EXPORT long vx_carry(struct carry *carry, int from, size header, int to, size to_header)
{
    u64 *counts = carry->counts;
    u8 *frame = carry->out + to_header;

    zero(carry->out, to_header); /* unchecked: the kernel verifies */
    while (carry->left) {
        struct job job;
        struct cut cut;
        size whole;
        long length = carry->read(from, carry->buffer, carry->room);

        carry->left--;
        if (length < 0) {
            int error = *carry->errno_at();
            if (error == EAGAIN)
                return 0;
            if (error != EINVAL)
                return -error;
            counts[UNREAD]++;
            continue;
        }
        if ((size)length < header)
            continue; /* never: TUN writes the header first */
        counts[TAKEN]++;
        parse(&job, carry->buffer, (size)length, header);
        if (carry->touches == TOUCH_ALL)
            return length;
        if (carry->touches >= TOUCH_SEGMENTED && job.gso != GSO_NONE)
            return length;
        if (carry->touches >= TOUCH_UNFINISHED && job.needs_csum)
            return length;
        counts[SUPER] += job.gso != GSO_NONE;
        if (!begin(&cut, &job))
            continue;
        while (more(&cut)) {
            whole = next_length(&cut);
            make_next(&cut, frame, whole);
            counts[SEGMENTS] += job.gso != GSO_NONE;
            if (whole < SHORTEST) {
                zero(frame + whole, SHORTEST - whole);
                whole = SHORTEST;
            }
            counts[carry->write(to, carry->out, to_header + whole) < 0 ? DROPPED : SENT]++;
        }
    }
    return 0;
}

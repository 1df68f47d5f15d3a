/* Frames of a ring, judged or counted where they are: what capture.py, submitted.py and shapes.py do
 * to what ring.py reads, for native_capture.py. */

#define KEY_WORDS 2
#include "agent/traffic/expected_frames.h"
#include "wire/tally.h"
#include "wire/verify.h"

enum { STATUS_USER = 1 << 0, STATUS_UNFINISHED = 1 << 3 }; /* TP_STATUS_USER, _CSUMNOTREADY */
enum { STATUS_TAGGED = 1 << 4, STATUS_TPID = 1 << 6, VLAN_TPID = 0x8100 }; /* _VLAN_(TPID_)VALID */
enum { PSH_FLAG = 0x08, NO_PORT = 65536, LAYER_COUNT = 5 };
enum { PARITY = 0, SIZE = 2, PUSHED = 6, PREVIOUS = 8 }; /* shapes._VALUES */
enum whose { FOREIGN, LATE, OURS };

struct tpacket_block_desc { /* include/uapi/linux/if_packet.h, with its hdr_v1 */
    u32 version, offset_to_priv, block_status, num_pkts, offset_to_first_pkt;
};

struct tpacket3_hdr { /* include/uapi/linux/if_packet.h */
    u32 next_offset, sec, nsec, snaplen, len, status;
    u16 mac, net;
    u32 rxhash, vlan_tci;
    u16 vlan_tpid, padding;
};

struct pollfd { /* poll(2) */
    i32 fd;
    i16 events, revents;
};

/* CraftedTxTap's: what is counted of crafted_packets, which are told by their source ports. */
struct submitted {
    const u16 *sizes; /* payload bytes of each segment; 0: not to be cut */
    u32 first_port, crafted_packets;
    u64 packets, frames, csum_partial, super_packets, segments;
};

struct watch {
    u8 *ring;
    u32 block_size, block_count, next; /* the block that is or will be ours */
    const u8 *at;        /* the header of the next frame in it */
    u32 left;            /* frames from there on in it; 0: it is not ours yet */
    u32 stop_at_wrong;   /* leave wrong frames to Python, which keeps some as evidence */
    int (*poll)(struct pollfd *, unsigned long, int); /* of the libc of this process */
    i32 end;             /* closed at its other end when the capture is to end */
    u32 pause;           /* milliseconds until it looks again, when it has caught up */
    const i32 *our_vnis; /* from here on as in CaptureOrder; -1 for None */
    u32 our_vni_count;
    i32 vni, flow_port, ttl, vlan, first_late, end_late, first_mark, end_mark;
    u32 longest;
    u16 vxlan_port;
    u8 must_have, must_not_have;
    struct tally *tally; /* of vx_count_ring */
    u8 *last;            /* from here on as in ShapeCounter */
    u32 (*by_port)[2];
    u64 (*by_value)[2];
    u64 arrived, frames, bad, unasked, late, foreign, csum_partial, over_mtu;
    const struct expected *expected; /* null where none is known */
    u64 unexpected;
    struct submitted *submitted; /* null where it is no crafted packet set */
    u64 bad_layers[LAYER_COUNT], unjudged[NOT_IP + 1];
};

/* The kernel's again: whatever we have read of it we have read before. */
static void give_back(struct watch *watch)
{
    u8 *start = watch->ring + (u64)watch->next * watch->block_size;
    struct tpacket_block_desc *block = (struct tpacket_block_desc *)start;
    __atomic_store_n(&block->block_status, 0, __ATOMIC_RELEASE);
    watch->next = watch->next + 1 == watch->block_count ? 0 : watch->next + 1;
}

/* Finds the next block with frames in it; 0 if that is not ready. */
static int next_block(struct watch *watch)
{
    while (!watch->left) {
        u8 *start = watch->ring + (u64)watch->next * watch->block_size;
        struct tpacket_block_desc *block = (struct tpacket_block_desc *)start;
        if (!(__atomic_load_n(&block->block_status, __ATOMIC_ACQUIRE) & STATUS_USER))
            return 0;
        watch->at = start + block->offset_to_first_pkt;
        watch->left = block->num_pkts;
        if (!watch->left)
            give_back(watch);
    }
    return 1;
}

/* Takes frame after frame of the blocks that are ready; 0 before one that `take` gives 0 for, which
 * is left to Python. */
INLINE int each_frame(struct watch *watch,
                      int (*take)(struct watch *, struct frame, const struct tpacket3_hdr *))
{
    while (next_block(watch)) {
        const u8 *at = watch->at;
        u32 left = watch->left;
        do {
            const struct tpacket3_hdr *header = (const struct tpacket3_hdr *)at;
            for (u64 line = 0; line < 4 * LINE; line += LINE)
                ask_for(at, AHEAD + line);
            if (!take(watch, (struct frame){at + header->mac, header->snaplen}, header)) {
                watch->at = at;
                watch->left = left;
                return 0;
            }
            at += header->next_offset;
        } while (--left);
        watch->left = 0;
        give_back(watch);
    }
    return 1;
}

/* Lets some time go by, unless the capture is to end. To wake up for each block as it gets full
 * costs more than to judge what is in it. */
static int go_on(struct watch *watch)
{
    struct pollfd end = {watch->end, 0, 0};
    return !watch->poll(&end, 1, (int)watch->pause);
}

INLINE i32 ttl_of(struct frame frame, const struct packet *packet)
{
    if (packet->l4 == packet->start)
        return -1;
    return frame.bytes[packet->start + (packet->family == 4 ? 8 : 7)];
}

/* capture.whose_is */
INLINE enum whose whose(const struct watch *watch, struct frame frame, const struct judged *found)
{
    const struct packet *outer = &found->outer;
    const struct packet *packet = watch->vni < 0 ? outer : &found->inner;
    i32 port = packet->family ? packet->destination_port : -1, ttl = ttl_of(frame, outer);
    if (found->vni == watch->vni && port == watch->flow_port)
        return watch->ttl >= 0 && ttl != watch->ttl ? LATE : OURS;
    int broken = found->vxlan >= 0 && found->vni < 0;
    if (broken && ttl >= watch->first_mark && ttl < watch->end_mark)
        return LATE;
    if (watch->vni >= 0 && found->vxlan < 0 && outer->trouble == FRAGMENT)
        return OURS;
    if (port >= watch->first_late && port < watch->end_late && port >= 0)
        for (u32 i = 0; i < watch->our_vni_count; i++)
            if (watch->our_vnis[i] == found->vni)
                return LATE;
    return FOREIGN;
}

/* capture._mistagged */
INLINE int mistagged(const struct watch *watch, const struct tpacket3_hdr *header)
{
    if (watch->vlan < 0)
        return 0;
    u32 tpid = header->status & STATUS_TPID ? header->vlan_tpid : VLAN_TPID;
    return !(header->status & STATUS_TAGGED) || tpid != VLAN_TPID ||
           header->vlan_tci != (u32)watch->vlan;
}

INLINE void add(u64 *both, int wrong)
{
    both[0]++;
    if (wrong)
        both[1]++;
}

/* ShapeCounter.add, to the same memory. */
INLINE void count_shape(struct watch *watch, struct frame frame, u32 wire_length,
                        const struct judged *found, int wrong)
{
    const struct packet *outer = &found->outer, *inner = &found->inner;
    const struct packet *packet = inner->family ? inner : outer;
    i32 port = outer->source_port < 0 ? NO_PORT : outer->source_port;
    watch->by_port[port][0]++;
    watch->by_port[port][1] += (u32)wrong;
    if (watch->last[port])
        add(watch->by_value[PREVIOUS + watch->last[port] - 1], wrong);
    watch->last[port] = wrong ? 2 : 1;

    if (packet->protocol == TCP && frame.captured > packet->l4 + 13)
        add(watch->by_value[PUSHED + !!(frame.bytes[packet->l4 + 13] & PSH_FLAG)], wrong);
    if (!inner->family && found->vxlan >= 0)
        return;
    i64 length = inner->family ? outer->end - found->vxlan - 8 : (i64)wire_length;
    int size = wire_length >= watch->longest ? 3 : (length >= 60) + (length >= 65);
    add(watch->by_value[PARITY + ((packet->end - packet->l4) & 1)], wrong);
    add(watch->by_value[SIZE + size], wrong);
}

/* Asks for the counts that the next frame will add to, which are anywhere in half a megabyte. Where
 * its source port is, is a guess: Ethernet, and IP without options. */
INLINE void foresee(const struct watch *watch, const struct tpacket3_hdr *header)
{
    const u8 *next = (const u8 *)header + header->next_offset; /* itself, if it is a block's last */
    if (((const struct tpacket3_hdr *)next)->snaplen < 56)
        return;
    next += ((const struct tpacket3_hdr *)next)->mac;
    u32 port = u16_at(next + (next[12] == 0x86 ? 54 : 34));
    ask_for((const u8 *)watch->by_port[port], 0);
    ask_for(watch->last + port, 0);
}

/* Goes on behind the frame that was left to Python, which has taken it. */
EXPORT void vx_step(struct watch *watch)
{
    watch->at += ((const struct tpacket3_hdr *)watch->at)->next_offset;
    if (!--watch->left)
        give_back(watch);
}

/* PeerCapture._take. Python's to take is a wrong frame that may be kept. */
INLINE int judge(struct watch *watch, struct frame frame, const struct tpacket3_hdr *header)
{
    struct judged found;
    foresee(watch, header);
    int is_ip = check(frame, header->len, &watch->vxlan_port, 1, &found);
    enum whose theirs = is_ip ? whose(watch, frame, &found) : FOREIGN;
    u32 good = found.masks / GOOD % 256, bad = found.masks / BAD % 256;
    u32 absent = found.masks / ABSENT % 256;
    u32 wrong = bad | (theirs == OURS ? absent & watch->must_have : 0);

    if (theirs == LATE) {
        watch->late++;
        return 1;
    }
    if (theirs == FOREIGN && !wrong) {
        watch->foreign++;
        return 1;
    }
    if (header->status & STATUS_UNFINISHED) {
        watch->arrived++;
        watch->csum_partial++;
        return 1;
    }
    if (header->len > watch->longest) {
        watch->arrived++;
        watch->over_mtu++;
        return 1;
    }
    struct held held = NOT_HELD;
    int differs = theirs == OURS && mistagged(watch, header);
    if (watch->expected && theirs == OURS && !differs) {
        held = hold(watch->expected, frame, &found);
        differs = held.wrong;
    }
    int bad_frame = wrong || differs, judged = bad_frame || found.masks < UNJUDGED;
    if (bad_frame && watch->stop_at_wrong)
        return 0;
    if (judged && is_ip)
        count_shape(watch, frame, header->len, &found, bad_frame);
    come(watch->expected, &held);
    watch->arrived++;
    if (watch->must_not_have && watch->must_not_have & ~absent & (good | bad))
        watch->unasked++;
    if (bad_frame) {
        watch->bad++;
        watch->unexpected += (u64)differs;
        for (int layer = 0; layer < LAYER_COUNT; layer++)
            watch->bad_layers[layer] += wrong >> layer & 1;
    }
    if (judged)
        watch->frames++;
    else
        watch->unjudged[found.reason]++;
    return 1;
}

EXPORT void vx_judge_ring(struct watch *watch)
{
    while (each_frame(watch, judge) && go_on(watch))
        ;
}

/* CraftedTxTap._count */
static void count_crafted(struct submitted *submitted, i32 source_port, i64 payload, int csum_partial)
{
    u32 crafted = (u32)source_port - submitted->first_port; /* below it wraps around */
    i64 segment = crafted < submitted->crafted_packets ? submitted->sizes[crafted] : 0;
    u64 pieces = segment && payload > segment ? (u64)((payload + segment - 1) / segment) : 1;

    submitted->packets++;
    submitted->frames += pieces;
    submitted->csum_partial += csum_partial ? pieces : 0;
    submitted->super_packets += pieces > 1;
    submitted->segments += pieces > 1 ? pieces : 0;
}

/* BulkTxTap._take. Python's to take is one whose TCP header was not captured. */
INLINE int count_submitted(struct watch *watch, struct frame frame, const struct tpacket3_hdr *header)
{
    struct judged found;
    if (!dissect(frame, header->len, &watch->vxlan_port, 1, &found) ||
        whose(watch, frame, &found) != OURS)
        return 1;
    const struct packet *packet = watch->vni < 0 ? &found.outer : &found.inner;
    if (!packet->family)
        return 1;
    i64 payload = packet->end - packet->l4 - 8;
    if (packet->protocol == TCP) {
        if (frame.captured <= packet->l4 + 12)
            return 0;
        payload += 8 - (frame.bytes[packet->l4 + 12] >> 4) * 4;
    }
    int csum_partial = (header->status & STATUS_UNFINISHED) != 0;
    if (watch->submitted) {
        count_crafted(watch->submitted, packet->source_port, payload, csum_partial);
        return 1;
    }
    const u64 key[KEY_WORDS] = {(u64)payload, (u64)csum_partial};
    return count(watch->tally, key);
}

EXPORT void vx_count_ring(struct watch *watch)
{
    while (each_frame(watch, count_submitted) && go_on(watch))
        ;
}

/* A TPACKET_V3 ring whose frames are taken in place, and what a capture counts of them.
 *
 * The including file defines KEY_WORDS for key_counter.h.
 */

#ifndef VX_WATCH_H
#define VX_WATCH_H

#include "agent/traffic/expected_frames.h"
#include "wire/key_counter.h"

/* TP_STATUS_USER, _CSUMNOTREADY, _VLAN_VALID and _VLAN_TPID_VALID of
 * include/uapi/linux/if_packet.h */
enum { STATUS_USER = 1 << 0, STATUS_CSUM_NOT_READY = 1 << 3 };
enum { STATUS_TAGGED = 1 << 4, STATUS_TPID = 1 << 6, VLAN_TPID = 0x8100 };
enum { LAYER_COUNT = 5 };

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

/* Counts of CraftedTxTap. A crafted packet is identified by its source port. */
struct submitted {
    const u16 *sizes; /* of each crafted packet: payload bytes of a segment; 0: not segmented */
    u32 first_port, crafted_packets;
    u64 packets, frames, csum_partial, super_packets, segments;
};

/* A capture that is running: its ring, which frames belong to it, and what it has counted. */
struct watch {
    u8 *ring;
    u32 block_size, block_count, next; /* `next`: the block that is being read, or is read next */
    const u8 *at;        /* the header of the next frame in that block */
    u32 left;            /* frames from there to the end of the block; 0: the kernel owns it */
    u32 stop_at_wrong;   /* 1: wrong frames are left to Python, which keeps some as evidence */
    int (*poll)(struct pollfd *, unsigned long, int); /* of this process's libc */
    i32 end;             /* a pipe whose other end is closed to stop the capture */
    u32 pause;           /* milliseconds to wait once all ready blocks are read */
    const i32 *our_vnis; /* from here on as in CaptureOrder; None is -1 */
    u32 our_vni_count;
    i32 vni, flow_port, ttl, vlan, first_late_port, end_late_port, first_late_ttl, end_late_ttl;
    u32 longest;
    u16 vxlan_port;
    u8 must_have, must_not_have, tunnel_ttl;
    struct key_counter *payload_sizes; /* of vx_count_ring */
    struct key_counter *paths;         /* null if outer headers are not checked */
    u8 *last;            /* this and the next two as in ShapeCounter */
    u32 (*by_port)[2];
    u64 (*by_value)[2];
    u64 arrived, frames, bad, unasked, late, foreign, csum_not_ready, over_mtu;
    const struct expected *expected; /* null if the frames are not known in advance */
    u64 unexpected;
    struct submitted *submitted; /* null unless a crafted packet set is counted */
    u64 bad_layers[LAYER_COUNT], unjudged[NOT_IP + 1];
};

/* Returns a block to the kernel. The release store orders it behind all reads of the block. */
static void give_back(struct watch *watch)
{
    u8 *start = watch->ring + (u64)watch->next * watch->block_size;
    struct tpacket_block_desc *block = (struct tpacket_block_desc *)start;
    __atomic_store_n(&block->block_status, 0, __ATOMIC_RELEASE);
    watch->next = watch->next + 1 == watch->block_count ? 0 : watch->next + 1;
}

/* Finds the next block that has frames. Returns 0 if it is not ready. */
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

/* Passes every frame of the ready blocks to `take`. Returns 0 at a frame for which `take` returns
 * 0: that frame is left to Python. */
INLINE int each_frame(struct watch *watch,
                      int (*take)(struct watch *, struct frame, const struct tpacket3_hdr *))
{
    while (next_block(watch)) {
        const u8 *at = watch->at;
        u32 left = watch->left;
        do {
            const struct tpacket3_hdr *header = (const struct tpacket3_hdr *)at;
            for (u64 line = 0; line < 4 * LINE; line += LINE)
                prefetch(at, AHEAD + line);
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

/* Waits for a while. Returns 0 if the capture is to stop. Waking up for each block as it gets full
 * would cost more than judging its frames. */
static int go_on(struct watch *watch)
{
    struct pollfd end = {watch->end, 0, 0};
    return !watch->poll(&end, 1, (int)watch->pause);
}

/* Steps over a frame that was left to Python, after Python has taken it. */
EXPORT void vx_step(struct watch *watch)
{
    watch->at += ((const struct tpacket3_hdr *)watch->at)->next_offset;
    if (!--watch->left)
        give_back(watch);
}

#endif

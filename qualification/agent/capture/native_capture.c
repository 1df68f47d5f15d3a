/* Judges or counts the frames of a ring in place, as peer.py, tx_tap.py, crafted.py and
 * dimensions.py do with the frames that ring.py reads, for native_capture.py. */

#define KEY_WORDS 2
#include "agent/capture/watch.h"
#include "wire/verify.h"

enum { PSH_FLAG = 0x08, NO_PORT = 65536 };
enum { PARITY = 0, SIZE = 2, PUSHED = 6, PREVIOUS = 8 }; /* dimensions._VALUES */
enum whose { FOREIGN, LATE, OURS };

INLINE i32 ttl_of(struct frame frame, const struct packet *packet)
{
    if (packet->l4 == packet->start)
        return -1;
    return frame.bytes[packet->start + (packet->family == 4 ? 8 : 7)];
}

/* Implements flow_frames.vni_changed, for a frame to the burst's port. */
INLINE int vni_changed(const struct watch *watch, struct frame frame, const struct judged *found)
{
    if (!watch->tunnel_ttl || found->vxlan < 0 || found->vni < 0 || found->vni == watch->vni)
        return 0;
    const u8 *mac = frame.bytes + found->vxlan + 8;
    return mac[0] == 0x02 && mac[1] == 'V' && mac[2] == 'X';
}

/* Implements flow_frames.whose_is. */
INLINE enum whose whose(const struct watch *watch, struct frame frame, const struct judged *found)
{
    const struct packet *outer = &found->outer;
    const struct packet *packet = watch->vni < 0 ? outer : &found->inner;
    i32 port = packet->family ? packet->destination_port : -1, ttl = ttl_of(frame, outer);
    if (found->vni == watch->vni && port == watch->flow_port)
        return watch->ttl >= 0 && ttl != watch->ttl ? LATE : OURS;
    if (port == watch->flow_port && vni_changed(watch, frame, found))
        return OURS;
    int broken = found->vxlan >= 0 && found->vni < 0;
    if (broken && ttl >= watch->first_late_ttl && ttl < watch->end_late_ttl)
        return LATE;
    if (watch->vni >= 0 && found->vxlan < 0 && outer->trouble == FRAGMENT)
        return OURS;
    if (port >= watch->first_late_port && port < watch->end_late_port && port >= 0)
        for (u32 i = 0; i < watch->our_vni_count; i++)
            if (watch->our_vnis[i] == found->vni)
                return LATE;
    return FOREIGN;
}

/* Implements flow_frames.mistagged. */
INLINE int mistagged(const struct watch *watch, const struct tpacket3_hdr *header)
{
    if (watch->vlan < 0)
        return 0;
    u32 tpid = header->status & STATUS_TPID ? header->vlan_tpid : VLAN_TPID;
    return !(header->status & STATUS_TAGGED) || tpid != VLAN_TPID ||
           header->vlan_tci != (u32)watch->vlan;
}

/* Implements flow_frames.outer_changed. */
INLINE int outer_changed(const struct watch *watch, struct frame frame, const struct judged *found)
{
    const struct packet *outer = &found->outer, *inner = &found->inner;
    if (!watch->tunnel_ttl || !inner->family || inner->l4 == inner->start ||
        outer->l4 == outer->start)
        return 0;
    const u8 *vxlan = frame.bytes + found->vxlan, *header = frame.bytes + outer->start;
    u32 ecn = frame.bytes[inner->start + 1] >> (inner->family == 4 ? 0 : 4) & 3;
    u32 word = u32_at(header), four = outer->family == 4;
    u32 traffic = (four ? word >> 16 : word >> 20) & 0xff;
    u32 rest = four ? u16_at(header + 6) : word & 0xfffff;
    int tagged = found->inside != found->vxlan + 8 + 14;
    ecn = ecn == 3 ? 2 : ecn; /* CE becomes ECT(0) */
    int marked = ecn && (traffic & 3) == 3; /* by a queue on the way */
    return (u32_at(vxlan) != 0x08000000) | (found->vni != watch->vni) | (vxlan[7] != 0) | (rest != 0) |
           (header[four ? 8 : 7] != watch->tunnel_ttl) | (traffic >> 2 != 0) |
           (!tagged & ((traffic & 3) != ecn) & !marked);
}

/* Implements PathCounter.add. Returns 0 if there is no room for a new pair of ports. */
INLINE int count_path(const struct watch *watch, const struct judged *found)
{
    i32 outer = found->outer.source_port, inner = found->inner.source_port;
    if (!watch->paths || !found->inner.family || found->vxlan < 0 || outer < 0 || inner < 0)
        return 1;
    const u64 key[KEY_WORDS] = {(u64)outer << 16 | (u64)inner, 0};
    return count_key(watch->paths, key);
}

INLINE void add(u64 *both, int wrong)
{
    both[0]++;
    if (wrong)
        both[1]++;
}

/* Implements ShapeCounter.add, on the same memory. */
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

/* Prefetches the counts that the next frame will change, which lie anywhere in half a megabyte. The
 * place of its source port is a guess: Ethernet, and IP without options. */
INLINE void prefetch_counts(const struct watch *watch, const struct tpacket3_hdr *header)
{
    const u8 *next = (const u8 *)header + header->next_offset; /* the last frame of a block: itself */
    if (((const struct tpacket3_hdr *)next)->snaplen < 56)
        return;
    next += ((const struct tpacket3_hdr *)next)->mac;
    u32 port = u16_at(next + (next[12] == 0x86 ? 54 : 34));
    prefetch((const u8 *)watch->by_port[port], 0);
    prefetch(watch->last + port, 0);
}

/* Implements PeerCapture._take. Leaves to Python a wrong frame that may be kept as evidence. */
INLINE int judge(struct watch *watch, struct frame frame, const struct tpacket3_hdr *header)
{
    struct judged found;
    prefetch_counts(watch, header);
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
    if (header->status & STATUS_CSUM_NOT_READY) {
        watch->arrived++;
        watch->csum_not_ready++;
        return 1;
    }
    if (header->len > watch->longest) {
        watch->arrived++;
        watch->over_mtu++;
        return 1;
    }
    struct match match = NO_MATCH;
    int unexpected =
        theirs == OURS && (mistagged(watch, header) || outer_changed(watch, frame, &found));
    if (watch->expected && theirs == OURS && !unexpected) {
        match = match_frame(watch->expected, frame, &found);
        unexpected = match.wrong;
    }
    int bad_frame = wrong || unexpected, judged = bad_frame || found.masks < UNJUDGED;
    if (bad_frame && watch->stop_at_wrong)
        return 0;
    if (!bad_frame && judged && theirs == OURS && !count_path(watch, &found))
        return 0;
    if (judged && is_ip)
        count_shape(watch, frame, header->len, &found, bad_frame);
    record_match(watch->expected, &match);
    watch->arrived++;
    if (watch->must_not_have && watch->must_not_have & ~absent & (good | bad))
        watch->unasked++;
    if (bad_frame) {
        watch->bad++;
        watch->unexpected += (u64)unexpected;
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

/* Implements tx_tap.segment_count: into how many frames the NIC segments a buffer. */
INLINE u64 segment_count(i64 payload, i64 segment)
{
    return segment && payload > segment ? (u64)((payload + segment - 1) / segment) : 1;
}

/* Implements tx_tap.payload_length: the payload that a buffer holds, also where partial GSO has
 * written the length of one segment into its headers. Returns 0 if the TCP header was not captured. */
INLINE int payload_length(struct frame frame, const struct packet *packet, u32 wire_length,
                          int csum_partial, i64 *payload)
{
    i64 header = 8;
    if (packet->protocol == TCP) {
        if (frame.captured <= packet->l4 + 12)
            return 0;
        header = (frame.bytes[packet->l4 + 12] >> 4) * 4;
    }
    i64 one = packet->end - packet->l4 - header, held = (i64)wire_length - packet->l4 - header;
    *payload = csum_partial && one > 0 && 2 * one <= held && held % one == 0 ? held : one;
    return 1;
}

/* Implements CraftedTxTap._count. */
static void count_crafted(struct submitted *submitted, i32 source_port, i64 payload, int csum_partial)
{
    u32 crafted = (u32)source_port - submitted->first_port; /* wraps around below it */
    i64 segment = crafted < submitted->crafted_packets ? submitted->sizes[crafted] : 0;
    u64 segments = segment_count(payload, segment);

    submitted->packets++;
    submitted->frames += segments;
    submitted->csum_partial += csum_partial ? segments : 0;
    submitted->super_packets += segments > 1;
    submitted->segments += segments > 1 ? segments : 0;
}

/* Implements TxTap._take. Leaves to Python a frame whose TCP header was not captured. */
INLINE int count_submitted(struct watch *watch, struct frame frame, const struct tpacket3_hdr *header)
{
    struct judged found;
    if (!dissect(frame, header->len, &watch->vxlan_port, 1, &found) ||
        whose(watch, frame, &found) != OURS)
        return 1;
    const struct packet *packet = watch->vni < 0 ? &found.outer : &found.inner;
    if (!packet->family)
        return 1;
    i64 payload;
    int csum_partial = (header->status & STATUS_CSUM_NOT_READY) != 0;
    if (!payload_length(frame, packet, header->len, csum_partial, &payload))
        return 0;
    if (!count_path(watch, &found))
        return 0;
    if (watch->submitted) {
        count_crafted(watch->submitted, packet->source_port, payload, csum_partial);
        return 1;
    }
    const u64 key[KEY_WORDS] = {(u64)payload, (u64)csum_partial};
    return count_key(watch->payload_sizes, key);
}

EXPORT void vx_count_ring(struct watch *watch)
{
    while (each_frame(watch, count_submitted) && go_on(watch))
        ;
}

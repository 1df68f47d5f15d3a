/* Walks through the frames of capture files, judges and counts them, for native_walk.py. */

#define KEY_WORDS 9
#include "stack/plain.h"
#include "stack/key_queue.h"

/* The sum, the judgement of VXLAN (wire/verify.h) and a walk through a single frame; used by tests. */
EXPORT u32 vx_ones_sum(const u8 *data, size length)
{
    return ones_sum(data, length);
}

EXPORT int vx_check(const u8 *bytes, i64 captured, i64 wire_length, const u16 *ports, u32 port_count,
                    struct judged *found)
{
    return check((struct frame){bytes, captured}, wire_length, ports, port_count, found);
}

EXPORT void vx_walk(const u8 *bytes, i64 captured, i64 wire_length, u32 link, const u16 *ports, u32 port_count,
                    struct walk *walk)
{
    struct frame frame = {bytes, captured};
    walk_frame(frame, wire_length, link, ports, port_count, walk);
    judge_walk(frame, walk);
}

enum { BLOCK_HEADER = 8, PACKET_FIELDS = 20, ENHANCED_PACKET = 6, FLAGS_OPTION = 2 };
enum { LARGEST_FRAME = 1 << 26, LARGEST_ON_WIRE = 9600, FRAGMENT_BUCKET = 3 };

/* A frame that is handed to Python. `bucket`: 0 wrong, 1 a length, 2 unfinished, 3 a fragment, which
 * Python counts as well. */
struct kept {
    i64 number, at, captured, wire_length;
    u64 time;
    u32 interface, bucket, direction, unused;
    struct walk walk;
};

struct part {
    const u8 *data; /* a part of the file that begins with a record or block */
    i64 at, size;   /* bytes read so far, and bytes in `data` */
    i64 number;     /* frames read so far */
    const u32 *links; /* link type of each interface */
    u32 interfaces;
    u32 blocks;     /* 1: pcapng blocks, 0: pcap records */
    u32 swapped;    /* 1: the file's byte order is not this machine's */
    u32 record_header; /* bytes in front of a frame in a pcap record */
    u32 exchanged;  /* pcap: the two lengths are exchanged: 1: always, 2: where that makes sense */
    u32 port_count;
    const u16 *ports;
    struct key_counter *outcomes;
    struct kept *kept;
    u32 room[3];    /* how many frames of each bucket may yet be kept */
    u32 kept_capacity, kept_used;
    i64 longest_right; /* the longest packet that no NIC has put together, as its sums are right */
    i64 longest_wire;
};

static u32 field(const struct part *part, i64 at)
{
    u32 value = LOAD(u32, part->data + at);
    return part->swapped ? __builtin_bswap32(value) : value;
}

static u32 field16(const struct part *part, i64 at)
{
    u16 value = LOAD(u16, part->data + at);
    return part->swapped ? __builtin_bswap16(value) : value;
}

struct record {
    i64 start, captured, wire_length, next;
    u64 time;
    u32 interface;
};

/* Reads the record or packet block at `at`. Returns 0 unless it is complete, consistent and of a
 * kind that is handled here. */
static int next_record(const struct part *part, struct record *record)
{
    i64 at = part->at, room = part->size - at;
    if (!part->blocks) {
        if (room < part->record_header)
            return 0;
        i64 one = field(part, at + 8), other = field(part, at + 12);
        int exchanged = part->exchanged == 1 || (part->exchanged == 2 && one > other);
        record->captured = exchanged ? other : one;
        record->wire_length = exchanged ? one : other;
        record->time = (u64)field(part, at) << 32 | field(part, at + 4);
        record->start = at + part->record_header;
        record->next = record->start + record->captured;
        record->interface = 0;
        return record->captured <= LARGEST_FRAME && record->next <= part->size;
    }
    if (room < BLOCK_HEADER + PACKET_FIELDS + 4 || field(part, at) != ENHANCED_PACKET)
        return 0;
    i64 length = field(part, at + 4);
    if (length < BLOCK_HEADER + PACKET_FIELDS + 4 || length % 4 || length > room ||
        field(part, at + length - 4) != length)
        return 0;
    record->interface = field(part, at + 8);
    record->time = (u64)field(part, at + 12) << 32 | field(part, at + 16);
    record->captured = field(part, at + 20);
    record->wire_length = field(part, at + 24);
    record->start = at + BLOCK_HEADER + PACKET_FIELDS;
    record->next = at + length;
    return record->interface < part->interfaces && record->start + record->captured <= record->next - 4;
}

/* Returns the direction in the flags of an enhanced packet block; 0 if it has none. */
static u32 flags_of(const struct part *part, const struct record *record)
{
    i64 at = record->start + ((record->captured + 3) & ~3), end = record->next - 4;
    while (part->blocks && at + 8 <= end) {
        u32 code = field16(part, at), length = field16(part, at + 2);
        if (code == FLAGS_OPTION && length == 4)
            return field(part, at + 4) & 3;
        if (code == 0)
            break;
        at += 4 + ((length + 3) & ~3u);
    }
    return 0;
}

/* What the sums of a frame say together. */
struct summary {
    int odd, value, length, unfinished, right_l4, is_short;
};

static struct summary summarize(const struct walk *walk)
{
    struct summary found = {0, 0, 0, 0, 0, 0};
    for (u32 i = 0; i < walk->used; i++) {
        const struct sum *sum = &walk->sums[i];
        found.right_l4 |= sum->state == S_RIGHT && sum->kind != K_IPV4;
        found.odd |= sum->state > S_RIGHT && sum->state != S_ABSENT;
        found.value |= sum->state == S_WRONG && (sum->how == H_VALUE || sum->how == H_FLAG);
        found.unfinished |= (sum->state == S_WRONG && sum->how != H_VALUE && sum->how != H_FLAG) ||
                            sum->how == H_UNCUT;
        found.length |= sum->state == S_LENGTH;
        found.is_short |= sum->how == H_SHORT;
    }
    return found;
}

/* Makes the key that frames of one flow and outcome share; outcomes.py decodes it. */
static void outcome_key(u64 *key, struct frame frame, const struct walk *walk, u32 direction, i64 length)
{
    u64 words = 0;
    for (int i = 0; i < KEY_WORDS; i++)
        key[i] = 0;
    if (walk->depth) {
        const struct ip_packet *outer = &walk->packets[0], *inner = &walk->packets[walk->depth - 1];
        words = outer->family == 4 ? 1 : 4;
        const u8 *addresses = frame.bytes + outer->start + (outer->family == 4 ? 12 : 8);
        for (u64 i = 0; i < words; i++)
            key[i] = LOAD(u64, addresses + 8 * i);
        key[4] = (u64)(u16)(inner->protocol + 1) << 25 | (u64)(inner->family / 2 - 1) << 34;
    }
    key[4] |= (u64)(walk->vni + 1) | (words == 4 ? 2 : words) << 36 | (u64)direction << 38 |
              (u64)(walk->noticed + 1) << 40;
    for (u32 i = 0; i < walk->depth; i++)
        key[5] |= (u64)walk->packets[i].carrier << 5 * i;
    if (walk->depth < MOST_PACKETS)
        key[5] |= (u64)walk->carrier << 5 * walk->depth;
    key[5] |= (u64)(length < 0xfffff ? length : 0xfffff) << 30 | (u64)walk->depth << 50;
    for (u32 i = 0; i < walk->used; i++) {
        const struct sum *sum = &walk->sums[i];
        u64 code = sum->kind | (u64)sum->state << 5 | (u64)sum->how << 8 | (u64)sum->depth << 13;
        key[6 + i / 4] |= code << 16 * (i % 4);
    }
}

/* Describes a frame whose walk is already in the next free place of `kept`. */
static void keep(struct part *part, const struct record *record, u32 bucket, u32 direction)
{
    struct kept *kept = &part->kept[part->kept_used++];
    kept->number = part->number;
    kept->at = record->start;
    kept->captured = record->captured;
    kept->wire_length = record->wire_length;
    kept->time = record->time;
    kept->interface = record->interface;
    kept->bucket = bucket;
    kept->direction = direction;
}

/* Judges record after record, and queues their outcomes. */
static void judge_records(struct part *part, struct key_queue *queue)
{
    struct record record;
    while (part->kept_used < part->kept_capacity && has_room(part->outcomes) && next_record(part, &record)) {
        struct frame frame = {part->data + record.start, record.captured};
        struct walk *walk = &part->kept[part->kept_used].walk;
        u64 *key = next_key(queue);
        if (part->links[record.interface] == 1 && record.captured == record.wire_length && record.captured >= 14 + 28) {
            u32 type;
            struct frame plain = plain_part(frame, &type);
            i64 right = type == IPV4   ? plain_key(plain, part->ports, part->port_count, key, 20)
                        : type == IPV6 ? plain_key(plain, part->ports, part->port_count, key, 40)
                                       : -1;
            if (right >= 0) {
                push_key(part->outcomes, queue);
                if (right > part->longest_right && right <= LARGEST_ON_WIRE)
                    part->longest_right = right;
                if (record.wire_length > part->longest_wire)
                    part->longest_wire = record.wire_length;
                part->number++;
                part->at = record.next;
                continue;
            }
        }
        walk_frame(frame, record.wire_length, part->links[record.interface], part->ports, part->port_count, walk);
        judge_walk(frame, walk);
        if (walk->fragment) {
            part->number++;
            keep(part, &record, FRAGMENT_BUCKET, flags_of(part, &record));
            part->at = record.next;
            continue;
        }
        struct summary found = summarize(walk);
        u32 stated = 0, direction = walk->direction;
        i64 length = 0;
        if (found.odd) {
            stated = flags_of(part, &record);
            direction = stated ? stated : direction;
            i64 packet = walk->depth ? walk->packets[0].end - walk->packets[0].start : 0;
            if (found.unfinished && walk->depth) { /* a buffer of GSO partial is longer than its IP length */
                i64 rest = record.wire_length - walk->packets[0].start;
                length = rest > packet + 64 ? rest : packet;
            } else if (found.unfinished || found.is_short)
                length = record.wire_length;
            else if (packet > LARGEST_ON_WIRE)
                length = packet;
            else if (walk->sums[0].how == H_LINK_TYPE)
                length = part->links[record.interface];
        } else {
            direction = 0;
            if (found.right_l4) {
                i64 right = walk->packets[0].end - walk->packets[0].start;
                if (right > part->longest_right && right <= LARGEST_ON_WIRE)
                    part->longest_right = right;
            }
        }
        outcome_key(key, frame, walk, direction, length);
        push_key(part->outcomes, queue);
        part->number++;
        if (record.wire_length > part->longest_wire)
            part->longest_wire = record.wire_length;
        if (found.value | found.length | found.unfinished | found.is_short) {
            u32 bucket = found.value ? 0 : found.length | found.is_short ? 1 : 2;
            if (part->room[bucket]) {
                part->room[bucket]--;
                keep(part, &record, bucket, stated);
            }
        }
        part->at = record.next;
    }
}

/* Judges and counts record after record. Stops at the first one that is incomplete or unusual, or where
 * the counter may have no room for another outcome: that record is left to Python. */
EXPORT void vx_count(struct part *part)
{
    struct key_queue queue;
    queue.pushed = queue.counted = 0;
    judge_records(part, &queue);
    count_rest(part->outcomes, &queue);
}

/* Judges and counts the frames of capture files as survey.py does, for native_survey.py. */

#define KEY_WORDS 6
#include "wire/key_counter.h"
#include "wire/verify.h"

EXPORT u32 vx_ones_sum(const u8 *data, size length)
{
    return ones_sum(data, length);
}

/* Judges a single frame; used by tests. */
EXPORT int vx_check(const u8 *bytes, i64 captured, i64 wire_length, const u16 *ports,
                    u32 port_count, struct judged *found)
{
    return check((struct frame){bytes, captured}, wire_length, ports, port_count, found);
}

enum { RECORD_HEADER = 16, BLOCK_HEADER = 8, PACKET_FIELDS = 20, ENHANCED_PACKET = 6 };
enum { LARGEST_FRAME = 1 << 26 };

struct wrong_frame {
    i64 number, at, captured, wire_length;
};

struct survey {
    const u8 *data; /* a part of the file that begins with a record or block */
    i64 at, size;   /* bytes read so far, and bytes in `data` */
    i64 number;     /* frames read so far */
    const i16 *skips; /* per interface: bytes before the Ethernet header; -1: left to Python */
    u32 interfaces;
    u32 blocks;     /* 1: pcapng blocks, 0: pcap records */
    u32 swapped;    /* 1: the file's byte order is not this machine's */
    u32 port_count;
    const u16 *ports;
    struct key_counter *outcomes;
    struct wrong_frame *wrong;
    u32 wrong_capacity, wrong_used;
};

static u32 field(const struct survey *survey, i64 at)
{
    u32 value = LOAD(u32, survey->data + at);
    return survey->swapped ? __builtin_bswap32(value) : value;
}

struct record {
    i64 start, captured, wire_length, next, skip;
};

/* Reads the record or packet block at `at`. Returns 0 unless it is complete, consistent and of a
 * kind that is handled here. */
static int next_record(const struct survey *survey, struct record *record)
{
    i64 at = survey->at, room = survey->size - at;
    if (!survey->blocks) {
        if (room < RECORD_HEADER)
            return 0;
        record->captured = field(survey, at + 8);
        record->wire_length = field(survey, at + 12);
        record->start = at + RECORD_HEADER;
        record->next = record->start + record->captured;
        record->skip = survey->skips[0];
        return record->captured <= LARGEST_FRAME && record->next <= survey->size;
    }
    if (room < BLOCK_HEADER + PACKET_FIELDS + 4 || field(survey, at) != ENHANCED_PACKET)
        return 0;
    i64 length = field(survey, at + 4);
    if (length < BLOCK_HEADER + PACKET_FIELDS + 4 || length % 4 || length > room ||
        field(survey, at + length - 4) != length)
        return 0;
    u32 interface = field(survey, at + 8);
    record->captured = field(survey, at + 20);
    record->wire_length = field(survey, at + 24);
    record->start = at + BLOCK_HEADER + PACKET_FIELDS;
    record->next = at + length;
    if (interface >= survey->interfaces || record->start + record->captured > record->next - 4)
        return 0;
    record->skip = survey->skips[interface];
    return 1;
}

/* Makes the key that frames of one flow and outcome share; native_survey._collect decodes it. It
 * has four words of addresses, one for the rest of survey.FlowKey, one for the masks and the
 * reason. */
static void outcome_key(u64 *key, struct frame frame, int is_ip, const struct judged *found)
{
    const struct packet *outer = &found->outer, *inner = &found->inner;
    u64 address_bytes = 0;
    key[0] = key[1] = key[2] = key[3] = key[4] = 0;
    key[5] = (u64)found->masks | (u64)found->reason << 32 | (u64)is_ip << 40;
    if (!is_ip)
        return;
    if (outer->l4 != outer->start) {
        const u8 *addresses = frame.bytes + outer->start + (outer->family == 4 ? 12 : 8);
        address_bytes = outer->family == 4 ? 8 : 32;
        for (u64 i = 0; i < address_bytes / 8; i++)
            key[i] = LOAD(u64, addresses + 8 * i);
    }
    key[4] = (u64)(u32)found->vni | (u64)(u16)(inner->family ? inner->protocol : outer->protocol) << 32 |
             address_bytes << 48 | (u64)inner->family << 56;
}

/* Judges and counts record after record. Stops at the first one that is incomplete or unusual, or
 * whose outcome has no room in the counter: that record is left to Python. */
EXPORT void vx_survey(struct survey *survey)
{
    struct record record;
    while (next_record(survey, &record) && record.skip >= 0) {
        struct frame frame = {survey->data + record.start + record.skip,
                              record.captured - record.skip};
        if (frame.captured < 0)
            return;
        struct judged found;
        u64 key[KEY_WORDS];
        int is_ip = check(frame, record.wire_length - record.skip, survey->ports,
                          survey->port_count, &found);
        outcome_key(key, frame, is_ip, &found);
        if (!count_key(survey->outcomes, key))
            return;
        survey->number++;
        if (found.masks / BAD % 256 && survey->wrong_used < survey->wrong_capacity)
            survey->wrong[survey->wrong_used++] = (struct wrong_frame){
                survey->number, record.start + record.skip, frame.captured,
                record.wire_length - record.skip};
        survey->at = record.next;
    }
}

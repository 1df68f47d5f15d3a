/* The C twin of the verifier: the same answers as verify.py and checksum.py, a hundred times as fast.
 * In sections of its own it is that of the soft NIC (lab/) and of the traffic generator (agent/).
 *
 * Freestanding: no header, no libc, no other symbol, so that one small shared object loads into
 * any Python on any Linux of its architecture. twin.py is what loads it, and setup.py what builds it.
 * The Python next to it is the reference: where the two differ, this file is wrong.
 */

typedef __UINT8_TYPE__ u8;
typedef __UINT16_TYPE__ u16;
typedef __UINT32_TYPE__ u32;
typedef __UINT64_TYPE__ u64;
typedef __INT16_TYPE__ i16;
typedef __INT32_TYPE__ i32;
typedef __INT64_TYPE__ i64;
typedef __SIZE_TYPE__ size;

#define EXPORT __attribute__((visibility("default")))

/* CRC-32 of this file, put in by setup.py: a twin of another source is none. */
EXPORT const u32 vx_source = VX_SOURCE;

/* ---- one's complement sums (RFC 1071) -------------------------------------------------------- */

/* Two lanes of 64 bits, in which 32-bit words are added without a carry to look after: SSE2 on
 * x86_64, NEON on aarch64, and plain code elsewhere. */
typedef u64 lanes __attribute__((vector_size(16)));

/* Loads are memcpy, which knows neither alignment nor types, and compiles to one instruction. */
#define LOAD(type, from) \
    ({ type loaded; __builtin_memcpy(&loaded, (from), sizeof loaded); loaded; })

/* Half the width, the same number modulo 65535, for 2**16 is 1 there, and so is 2**32. */
static u64 half(u64 sum)
{
    return (sum >> 32) + (u32)sum;
}

/* The sum of bytes as words of this machine's order, an odd last byte padded with zero: below
 * 2**40, and not reduced, so that sums add up to sums. Swapping the bytes of the end result does
 * for swapping each word (RFC 1071, section 2 B), and is no matter where the question is whether
 * it is zero. */
static u64 sum_of(const u8 *at, i64 length)
{
    const lanes low_half = {0xffffffff, 0xffffffff};
    u64 sum = 0;

    if (length >= 32) {
        lanes low = {0, 0}, high = {0, 0};
        for (; length >= 32; at += 32, length -= 32) {
            lanes first = LOAD(lanes, at), second = LOAD(lanes, at + 16);
            low += (first & low_half) + (second & low_half);
            high += (first >> 32) + (second >> 32);
        }
        low += high;
        sum = half(low[0]) + half(low[1]);
    }
    if (length & 16) {
        sum += half(LOAD(u64, at)) + half(LOAD(u64, at + 8));
        at += 16;
    }
    if (length & 8) {
        sum += half(LOAD(u64, at));
        at += 8;
    }
    if (length & 4) {
        sum += LOAD(u32, at);
        at += 4;
    }
    if (length & 2) {
        sum += LOAD(u16, at);
        at += 2;
    }
    if (length & 1) {
        const u8 padded[2] = {*at, 0};
        sum += LOAD(u16, padded);
    }
    return sum;
}

/* The same number with the bytes of its words swapped: once for a range that starts at an odd
 * offset, and on little-endian machines once for a number that is to join such a sum. */
static u64 swapped(u64 sum)
{
    return sum % 65535 << 8;
}

static u64 in_order(u64 number)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? swapped(number) : number;
}

/* checksum.ones_sum: 0 to 65534. */
static u32 ones_sum(const u8 *data, size length)
{
    return (u32)(in_order(sum_of(data, (i64)length)) % 65535);
}

EXPORT u32 vx_ones_sum(const u8 *data, size length)
{
    return ones_sum(data, length);
}

/* ---- one IP packet of a frame (packet.py) ---------------------------------------------------- */

enum { ICMP = 1, TCP = 6, UDP = 17, ESP = 50, AH = 51, ICMPV6 = 58 };
enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT_HEADER = 44, DESTINATION = 60 };
enum { HOME_ADDRESS_OPTION = 0xc9 };

/* Why something is wrong or not judged; twin.py has the words in the same order. */
enum reason {
    NONE, VERSION, LENGTH, L4_LENGTH, TRUNCATED, FRAGMENT, ESP_INSIDE, ROUTING_HEADER,
    HOME_ADDRESS, JUMBOGRAM, PROTOCOL, VXLAN_FLAG, NOT_IP,
};

/* Offsets are signed and wide: what the bytes say can then be added up without a look at overflow. */
struct frame {
    const u8 *bytes;
    i64 captured;
};

struct packet {
    i64 start, l4, end; /* start == l4: the IP header cannot be read or believed */
    i32 source_port, destination_port, checksum; /* -1: there is none to read */
    i16 protocol;                                /* -1: the headers do not reach that far */
    u8 family;                                   /* 0: there is no packet */
    u8 trouble;
};

static u32 u16_at(const u8 *at) { return (u32)at[0] << 8 | at[1]; }
static u32 u32_at(const u8 *at) { return u16_at(at) << 16 | u16_at(at + 2); }

/* The sum of what was captured of a range; nothing before the frame's start is ever asked for. */
static u64 sum_between(struct frame frame, i64 from, i64 to)
{
    if (to > frame.captured)
        to = frame.captured;
    return from < to ? sum_of(frame.bytes + from, to - from) : 0;
}

static void headless(struct packet *packet, u8 family, i64 start, u8 trouble)
{
    *packet = (struct packet){start, start, start, -1, -1, -1, -1, family, trouble};
}

static void note(struct packet *packet, u8 trouble)
{
    if (!packet->trouble)
        packet->trouble = trouble;
}

static int is_extension(i32 protocol)
{
    const u64 extensions = 1ull << HOP_BY_HOP | 1ull << ROUTING | 1ull << FRAGMENT_HEADER |
                           1ull << AH | 1ull << DESTINATION;
    return protocol >= 0 && protocol < 64 && extensions >> protocol & 1;
}

static int has_home_address(const u8 *options, i64 length)
{
    i64 at = 0;
    while (at < length && options[at] != HOME_ADDRESS_OPTION)
        at += options[at] && at + 1 < length ? 2 + options[at + 1] : 1;
    return at < length;
}

/* Moves a packet's L4 behind its extension headers; returns what is in the way. */
static u8 walk_extensions(struct frame frame, struct packet *packet)
{
    u8 trouble = NONE;
    while (is_extension(packet->protocol)) {
        i64 at = packet->l4, room = frame.captured - at;
        if (at + 8 > packet->end || room < 8) {
            packet->protocol = -1;
            return at + 8 > packet->end ? LENGTH : TRUNCATED;
        }
        const u8 *header = frame.bytes + at;
        i64 length = (header[1] + 1) * 8;
        if (packet->protocol == AH) {
            length = (header[1] + 2) * 4;
        } else if (packet->protocol == FRAGMENT_HEADER) {
            length = 8;
            if (u16_at(header + 2) & 0xfff9) { /* not atomic (RFC 6946) */
                packet->protocol = header[0];
                packet->l4 += length;
                return FRAGMENT;
            }
        } else if (packet->protocol == ROUTING && header[3]) {
            trouble = ROUTING_HEADER; /* the pseudo-header holds the last address of the route */
        } else if (packet->protocol == DESTINATION &&
                   has_home_address(header + 2, (length < room ? length : room) - 2)) {
            trouble = HOME_ADDRESS; /* the pseudo-header holds it, instead of the source */
        }
        if (at + length > packet->end) {
            packet->protocol = -1;
            return LENGTH;
        }
        packet->protocol = header[0];
        packet->l4 += length;
    }
    return trouble;
}

/* Reads ports and checksum, and ends L4 by its own length; returns what is wrong there. */
static u8 read_l4(struct frame frame, struct packet *packet)
{
    i64 length = packet->end - packet->l4, room = frame.captured - packet->l4;
    i64 least, field;

    if (packet->protocol == UDP)
        least = 8, field = 6;
    else if (packet->protocol == TCP)
        least = 20, field = 16;
    else if (packet->protocol == (packet->family == 4 ? ICMP : ICMPV6))
        least = 8, field = 2;
    else
        return packet->protocol == ESP ? ESP_INSIDE : PROTOCOL;
    if (length < least)
        return L4_LENGTH;
    if (room < 4 || (packet->protocol == UDP && room < 8))
        return TRUNCATED;
    const u8 *header = frame.bytes + packet->l4;
    if (packet->protocol == UDP || packet->protocol == TCP) {
        packet->source_port = (i32)u16_at(header);
        packet->destination_port = (i32)u16_at(header + 2);
    }
    if (room < field + 2)
        return TRUNCATED;
    packet->checksum = (i32)u16_at(header + field);
    if (packet->protocol == UDP) {
        i64 told = u16_at(header + 4);
        if (told >= 8 && told <= length && length <= 65535)
            packet->end = packet->l4 + told;
        else if (told || packet->family == 4) /* over IPv6, 0 means up to the end (udp6_rcv) */
            return L4_LENGTH;
    }
    return NONE;
}

static void walk_ipv4(struct frame frame, i64 start, i64 limit, struct packet *packet)
{
    if (start + 20 > limit || start + 20 > frame.captured)
        return headless(packet, 4, start, start + 20 > limit ? LENGTH : TRUNCATED);
    const u8 *header = frame.bytes + start;
    if (header[0] >> 4 != 4)
        return headless(packet, 4, start, VERSION);
    i64 total = u16_at(header + 2), l4 = start + (header[0] & 15) * 4;
    *packet = (struct packet){start, l4, start + total, -1, -1, -1, header[9], 4, NONE};
    if (total == 0 && limit - start > 65535) {
        packet->end = limit;
        packet->trouble = JUMBOGRAM; /* BIG TCP: the field has no room for its length */
    } else if (packet->end > limit) {
        packet->end = limit;
        packet->trouble = LENGTH;
    }
    if (l4 < start + 20 || l4 > packet->end)
        return headless(packet, 4, start, LENGTH);
    if (l4 > frame.captured)
        return headless(packet, 4, start, TRUNCATED);
    if (u16_at(header + 6) & 0x3fff) { /* more fragments follow, or others went before */
        note(packet, FRAGMENT);
        return;
    }
    if (packet->protocol == AH)
        note(packet, walk_extensions(frame, packet));
    note(packet, read_l4(frame, packet));
}

static void walk_ipv6(struct frame frame, i64 start, i64 limit, struct packet *packet)
{
    i64 l4 = start + 40;
    if (l4 > limit || l4 > frame.captured)
        return headless(packet, 6, start, l4 > limit ? LENGTH : TRUNCATED);
    const u8 *header = frame.bytes + start;
    if (header[0] >> 4 != 6)
        return headless(packet, 6, start, VERSION);
    i64 length = u16_at(header + 4);
    *packet = (struct packet){start, l4, l4 + length, -1, -1, -1, header[6], 6, NONE};
    if (length == 0 && (packet->protocol == HOP_BY_HOP || limit - l4 > 65535)) {
        packet->end = limit;
        packet->trouble = JUMBOGRAM; /* by RFC 2675, or BIG TCP without its option */
    } else if (packet->end > limit) {
        packet->end = limit;
        packet->trouble = LENGTH;
    }
    u8 obstacle = walk_extensions(frame, packet);
    note(packet, obstacle);
    if (obstacle != FRAGMENT)
        note(packet, read_l4(frame, packet));
}

/* ---- a frame and its tunnel (dissect.py, verify.py) ------------------------------------------ */

enum { OUTER_IP = 1, OUTER_L4 = 2, VXLAN = 4, INNER_IP = 8, INNER_L4 = 16, INWARD = 3 };
enum { IPV4 = 0x0800, IPV6 = 0x86dd, CUT_OFF = -1 };

struct masks {
    u8 good, bad, absent, unjudged;
};

struct judged {
    struct packet outer, inner;
    i64 vxlan, inside; /* offsets of the VXLAN header and behind the inner EtherType; -1: none */
    i32 vni;           /* -1: none */
    struct masks masks;
    u8 reason, trouble;
};

/* The EtherType behind all VLAN tags; `*at` goes from the start of the header to behind it. */
static i32 ethertype(struct frame frame, i64 *at)
{
    i32 kind = CUT_OFF;
    for (*at += 14; *at <= frame.captured; *at += 4) {
        kind = (i32)u16_at(frame.bytes + *at - 2);
        if (kind != 0x8100 && kind != 0x88a8 && kind != 0x9100)
            return kind;
    }
    if (kind != CUT_OFF)
        *at -= 4; /* behind the last tag that is whole */
    return CUT_OFF;
}

static int is_tunnel_port(i32 port, const u16 *ports, u32 count)
{
    for (u32 i = 0; i < count; i++)
        if (ports[i] == port)
            return 1;
    return 0;
}

/* Judges one packet in outer bits; `total` is the sum over its L4. Returns the reason. */
static u8 judge_packet(struct frame frame, const struct packet *packet, u64 total, int tunnel,
                       struct masks *masks)
{
    u8 trouble = packet->trouble;
    if (trouble && (packet->l4 == packet->start || trouble == LENGTH)) {
        if (trouble == TRUNCATED)
            masks->unjudged = OUTER_IP | OUTER_L4;
        else
            masks->bad = OUTER_IP, masks->unjudged = OUTER_L4;
        return trouble;
    }
    const u8 *header = frame.bytes + packet->start;
    if (packet->family == 4) {
        if (sum_of(header, (header[0] & 15) * 4) % 65535 == 0)
            masks->good = OUTER_IP;
        else
            masks->bad = OUTER_IP;
    }
    if (trouble == L4_LENGTH) {
        masks->bad |= OUTER_L4;
        return LENGTH;
    }
    if (trouble) {
        masks->unjudged = OUTER_L4;
        return trouble;
    }
    if (packet->checksum == 0 && packet->protocol == UDP && (tunnel || packet->family == 4)) {
        masks->absent = OUTER_L4;
        return NONE;
    }
    if (packet->end > frame.captured) {
        masks->unjudged = OUTER_L4;
        return TRUNCATED;
    }
    i64 length = packet->end - packet->l4;
    if (packet->protocol != ICMP) { /* the pseudo-header */
        total += packet->family == 4 ? sum_of(header + 12, 8) : sum_of(header + 8, 32);
        total += in_order((u64)(packet->protocol + length));
    }
    int right = total % 65535 == 0;
    if (right && packet->checksum == 0) {
        /* A field of 0x0000 where 0xffff is due sums up as well: see verify._zero_is_wrong. */
        if (packet->protocol == UDP) {
            right = 0;
        } else if (packet->protocol == ICMP) {
            const u8 *at = frame.bytes + packet->l4, *end = frame.bytes + packet->end;
            while (at < end && !*at)
                at++;
            right = at < end;
        }
    }
    if (right)
        masks->good |= OUTER_L4;
    else
        masks->bad |= OUTER_L4;
    return NONE;
}

/* dissect.dissect: 0 if the frame is not IP, or too short to tell. */
static int dissect(struct frame frame, i64 wire_length, const u16 *ports, u32 port_count,
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

/* verify.check: 0 where its layout is None. */
static int check(struct frame frame, i64 wire_length, const u16 *ports, u32 port_count,
                 struct judged *found)
{
    struct masks masks = {0, 0, 0, 0}, inside = {0, 0, 0, 0};
    if (!dissect(frame, wire_length, ports, port_count, found)) {
        found->reason = frame.captured < (wire_length < 14 ? wire_length : 14) ? TRUNCATED : NOT_IP;
        found->masks = masks;
        return 0;
    }
    const struct packet *outer = &found->outer, *inner = &found->inner;
    u8 reason, inner_reason;
    if (!inner->family) {
        u64 total = sum_between(frame, outer->l4, outer->end);
        reason = judge_packet(frame, outer, total, found->vxlan >= 0, &masks);
        inner_reason = found->trouble;
        if (found->vxlan >= 0) {
            if (found->trouble == VXLAN_FLAG || found->trouble == LENGTH)
                masks.bad |= VXLAN;
            else if (found->vni < 0)
                masks.unjudged |= VXLAN;
            else
                masks.good |= VXLAN;
        }
        if (found->trouble == TRUNCATED)
            masks.unjudged |= INNER_IP | INNER_L4;
    } else {
        /* The bytes are gone over once: the inner sum is a part of the outer one. What trails the
         * inner packet may start at an odd offset, where it counts times 256 (RFC 1071, 2 B). */
        u64 inner_total = sum_between(frame, inner->l4, inner->end), total = inner_total;
        if (outer->checksum > 0) {
            u64 trailer = sum_between(frame, inner->end, outer->end);
            total += sum_between(frame, outer->l4, inner->l4);
            total += (inner->end - inner->l4) & 1 ? swapped(trailer) : trailer;
        }
        reason = judge_packet(frame, outer, total, 1, &masks);
        inner_reason = judge_packet(frame, inner, inner_total, 0, &inside);
        masks.good |= VXLAN | inside.good << INWARD;
        masks.bad |= inside.bad << INWARD;
        masks.absent |= inside.absent << INWARD;
        masks.unjudged |= inside.unjudged << INWARD;
    }
    found->reason = reason ? reason : inner_reason;
    found->masks = masks;
    return 1;
}

/* One frame, for tests and for those who have but one. */
EXPORT int vx_check(const u8 *bytes, i64 captured, i64 wire_length, const u16 *ports,
                    u32 port_count, struct judged *found)
{
    return check((struct frame){bytes, captured}, wire_length, ports, port_count, found);
}

/* ---- counting what is alike ------------------------------------------------------------------ */

enum { KEY_WORDS = 6 };

struct entry {
    u64 key[KEY_WORDS];
    u64 count;
};

/* Distinct keys in the order in which they were first seen. Whoever gives the memory empties it:
 * `slots` is a hash table of places in `entries` plus one, of a power of two that is larger. */
struct tally {
    struct entry *entries;
    u32 *slots;
    u32 capacity, used, slot_mask, latest;
};

static int same_key(const u64 *one, const u64 *other)
{
    u64 differ = 0;
    for (int i = 0; i < KEY_WORDS; i++)
        differ |= one[i] ^ other[i];
    return !differ;
}

/* Counts a key; 0 if there is no room for a new one. */
static int count(struct tally *tally, const u64 *key)
{
    if (tally->used && same_key(tally->entries[tally->latest].key, key)) {
        tally->entries[tally->latest].count++;
        return 1;
    }
    u64 hash = 0;
    for (u64 i = 0; i < KEY_WORDS; i++) /* multiplications that need not wait for each other */
        hash += (key[i] ^ key[i] >> 32) * (0x9e3779b97f4a7c15u + 2 * i); /* Knuth's constant */
    u32 slot = (u32)(hash >> 32) & tally->slot_mask;
    while (tally->slots[slot]) {
        u32 place = tally->slots[slot] - 1;
        if (same_key(tally->entries[place].key, key)) {
            tally->entries[place].count++;
            tally->latest = place;
            return 1;
        }
        slot = (slot + 1) & tally->slot_mask;
    }
    if (tally->used == tally->capacity)
        return 0;
    struct entry *entry = &tally->entries[tally->used];
    for (int i = 0; i < KEY_WORDS; i++)
        entry->key[i] = key[i];
    entry->count = 1;
    tally->latest = tally->used++;
    tally->slots[slot] = tally->used;
    return 1;
}

/* ---- whole captures (survey.py, capture_file.py) --------------------------------------------- */

enum { RECORD_HEADER = 16, BLOCK_HEADER = 8, PACKET_FIELDS = 20, ENHANCED_PACKET = 6 };
enum { LARGEST_FRAME = 1 << 26 };

struct wrong_frame {
    i64 number, at, captured, wire_length;
};

struct survey {
    const u8 *data; /* a part of a file, from the start of a record or block on */
    i64 at, size;   /* read up to there, of so many bytes */
    i64 number;     /* frames up to there */
    const i16 *skips; /* per interface: bytes before the Ethernet header, -1 if not to be had */
    u32 interfaces;
    u32 blocks;     /* pcapng's blocks, or else pcap's records */
    u32 swapped;    /* the file's byte order is not ours */
    u32 port_count;
    const u16 *ports;
    struct tally *tally;
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

/* The record or packet block at `at`; 0 unless it is whole, sane, and one that we can judge. */
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

/* What the frames of one flow and outcome have in common, as twin_survey._count takes it apart:
 * four words of addresses, one for the rest of survey.Flow, one for the masks and the reason. */
static void outcome(u64 *key, struct frame frame, int is_ip, const struct judged *found)
{
    const struct packet *outer = &found->outer, *inner = &found->inner;
    u64 address_bytes = 0;
    key[0] = key[1] = key[2] = key[3] = key[4] = 0;
    key[5] = (u64)found->masks.good | (u64)found->masks.bad << 8 | (u64)found->masks.absent << 16 |
             (u64)found->masks.unjudged << 24 | (u64)found->reason << 32 | (u64)is_ip << 40;
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

/* Judges and counts record after record. Ends at the first that is not whole, odd in any way, or
 * has no room in the tally: what becomes of that one is for Python to say. */
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
        outcome(key, frame, is_ip, &found);
        if (!count(survey->tally, key))
            return;
        survey->number++;
        if (found.masks.bad && survey->wrong_used < survey->wrong_capacity)
            survey->wrong[survey->wrong_used++] = (struct wrong_frame){
                survey->number, record.start + record.skip, frame.captured,
                record.wire_length - record.skip};
        survey->at = record.next;
    }
}

/* ---- the ring, in place (capture.py, shapes.py, ring.py) ---------------------------- */

enum { STATUS_USER = 1 << 0, STATUS_UNFINISHED = 1 << 3 }; /* TP_STATUS_USER, _CSUMNOTREADY */
enum { PSH_FLAG = 0x08, NO_PORT = 65536, LAYER_COUNT = 5 };
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

struct watch {
    u8 *ring;
    u32 block_size, block_count, next; /* the block that is or will be ours */
    u32 most_blocks;     /* give back at most so many, so that what was counted is told */
    const u8 *at;        /* the header of the next frame in it */
    u32 left;            /* frames from there on in it; 0: it is not ours yet */
    u32 stop_at_wrong;   /* leave wrong frames to Python, which keeps some as evidence */
    const i32 *our_vnis; /* from here on as in CaptureOrder; -1 for None */
    u32 our_vni_count;
    i32 vni, flow_port, ttl, first_late, end_late, first_mark, end_mark;
    u32 longest;
    u16 vxlan_port;
    u8 must_have, must_not_have;
    struct tally *tally;
    u8 *last;            /* per outer source port: 0 no frame yet, 1 a right one, 2 a wrong one */
    u64 arrived, frames, bad, unasked, late, foreign, unfinished, over_mtu;
    u64 bad_layers[LAYER_COUNT], unjudged[NOT_IP + 1];
};

/* The kernel's again: whatever we have read of it we have read before. */
static void give_back(struct watch *watch)
{
    u8 *start = watch->ring + (u64)watch->next * watch->block_size;
    struct tpacket_block_desc *block = (struct tpacket_block_desc *)start;
    __atomic_store_n(&block->block_status, 0, __ATOMIC_RELEASE);
    watch->next = watch->next + 1 == watch->block_count ? 0 : watch->next + 1;
    watch->most_blocks--;
}

/* Done with a frame, and with its block if it was the last. */
static void done(struct watch *watch, const struct tpacket3_hdr *header)
{
    watch->at += header->next_offset;
    if (!--watch->left)
        give_back(watch);
}

/* Finds the next frame, in the next block if need be; 0 if that is not ready. */
static int next_frame(struct watch *watch, struct tpacket3_hdr *header, struct frame *frame)
{
    while (!watch->left) {
        u8 *start = watch->ring + (u64)watch->next * watch->block_size;
        struct tpacket_block_desc *block = (struct tpacket_block_desc *)start;
        if (!watch->most_blocks ||
            !(__atomic_load_n(&block->block_status, __ATOMIC_ACQUIRE) & STATUS_USER))
            return 0;
        watch->at = start + block->offset_to_first_pkt;
        watch->left = block->num_pkts;
        if (!watch->left)
            give_back(watch);
    }
    *header = LOAD(struct tpacket3_hdr, watch->at);
    /* Another CPU has written the ring, and its lines come slowly: ask for them some frames ahead. */
    for (u64 ahead = 512; ahead < 768; ahead += 64)
        __builtin_prefetch((const void *)((u64)watch->at + ahead));
    *frame = (struct frame){watch->at + header->mac, header->snaplen};
    return 1;
}

static i32 ttl_of(struct frame frame, const struct packet *packet)
{
    if (packet->l4 == packet->start)
        return -1;
    return frame.bytes[packet->start + (packet->family == 4 ? 8 : 7)];
}

/* capture._whose */
static enum whose whose(const struct watch *watch, struct frame frame, const struct judged *found)
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

/* ShapeCounter.add, with keys as ShapeCounter.merge takes them apart; 0 if there is no room. */
static int count_shape(struct watch *watch, struct frame frame, u32 wire_length,
                       const struct judged *found, int wrong)
{
    const struct packet *outer = &found->outer, *inner = &found->inner;
    const struct packet *packet = inner->family ? inner : outer;
    u8 *last = &watch->last[outer->source_port < 0 ? NO_PORT : outer->source_port];
    u64 pushed = 2; /* as in a packet that has no such flag */
    if (packet->protocol == TCP && frame.captured > packet->l4 + 13)
        pushed = (frame.bytes[packet->l4 + 13] & PSH_FLAG) != 0;
    const u64 key[KEY_WORDS] = {
        (u64)(inner->family ? outer->end - found->vxlan - 8 : (i64)wire_length),
        (u64)(!inner->family && found->vxlan >= 0 ? -1 : packet->end - packet->l4),
        (u64)wire_length | (u64)(u32)outer->source_port << 32,
        pushed | (u64)*last << 8 | (u64)wrong << 16,
    };
    if (!count(watch->tally, key))
        return 0;
    *last = wrong ? 2 : 1;
    return 1;
}

/* Goes on behind the frame that was left to Python, which has taken it. */
EXPORT void vx_step(struct watch *watch)
{
    struct tpacket3_hdr header = LOAD(struct tpacket3_hdr, watch->at);
    done(watch, &header);
}

/* PeerCapture._take for frame after frame of the blocks that are ready. Ends before one that is Python's to take:
 * a wrong one that may be kept, or one of a shape that there is no room to count. */
EXPORT void vx_judge_ring(struct watch *watch)
{
    struct tpacket3_hdr header;
    struct frame frame;
    while (next_frame(watch, &header, &frame)) {
        struct judged found;
        int is_ip = check(frame, header.len, &watch->vxlan_port, 1, &found);
        enum whose theirs = is_ip ? whose(watch, frame, &found) : FOREIGN;
        struct masks masks = found.masks;
        u8 bad = masks.bad | (theirs == OURS ? masks.absent & watch->must_have : 0);
        int unfinished = (header.status & STATUS_UNFINISHED) != 0;

        if (theirs == LATE) {
            watch->late++;
        } else if (theirs == FOREIGN && !bad) {
            watch->foreign++;
        } else if (unfinished || header.len > watch->longest) {
            watch->arrived++;
            if (unfinished)
                watch->unfinished++;
            else
                watch->over_mtu++;
        } else {
            int judged = bad || !masks.unjudged;
            if (bad && watch->stop_at_wrong)
                return;
            if (judged && is_ip && !count_shape(watch, frame, header.len, &found, bad != 0))
                return;
            watch->arrived++;
            watch->unasked +=
                (watch->must_not_have & ~masks.absent & (masks.good | masks.bad)) != 0;
            watch->frames += (u64)judged;
            watch->bad += bad != 0;
            for (int layer = 0; layer < LAYER_COUNT; layer++)
                watch->bad_layers[layer] += bad >> layer & 1;
            if (!judged)
                watch->unjudged[found.reason]++;
        }
        done(watch, &header);
    }
}

/* SenderCapture._take likewise. Ends before one whose TCP header was not captured. */
EXPORT void vx_count_ring(struct watch *watch)
{
    struct tpacket3_hdr header;
    struct frame frame;
    while (next_frame(watch, &header, &frame)) {
        struct judged found;
        if (dissect(frame, header.len, &watch->vxlan_port, 1, &found) &&
            whose(watch, frame, &found) == OURS) {
            const struct packet *packet = watch->vni < 0 ? &found.outer : &found.inner;
            if (packet->family) {
                i64 payload = packet->end - packet->l4 - 8;
                if (packet->protocol == TCP) {
                    if (frame.captured <= packet->l4 + 12)
                        return;
                    payload += 8 - (frame.bytes[packet->l4 + 12] >> 4) * 4;
                }
                const u64 key[KEY_WORDS] = {
                    (u64)payload, (header.status & STATUS_UNFINISHED) != 0};
                if (!count(watch->tally, key))
                    return;
            }
        }
        done(watch, &header);
    }
}

/* ---- cutting: what an honest NIC does to a frame --------------------------------------------- */

/* The same as lab/job.py, which reads what the kernel hands over, and lab/offload.py, which does
 * what it left undone; the soft NIC works with it. Sources are named there. */

enum { GSO_NONE = 0, GSO_UDP = 5, GSO_ECN = 0x80, GSO_TUNNEL = 0x60 };
enum { NEEDS_CSUM = 1, TUNNEL_CSUM = 8 };
enum { UDP_LENGTH = 4, UDP_CHECK = 6, TCP_SEQ = 4, TCP_DATA_OFFSET = 12, TCP_FLAGS = 13, TCP_CHECK = 16 };
enum { FIN = 0x01, PSH = 0x08, CWR = 0x80 };
enum { TUNNEL_HEADER = 24 }; /* of a vnet header, the least that tells of tunnels */

static u32 little16(const u8 *at)
{
    return (u32)at[1] << 8 | at[0];
}

static void put16(u8 *at, u32 value)
{
    at[0] = (u8)(value >> 8);
    at[1] = (u8)value;
}

static void put32(u8 *at, u32 value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

/* There is no memcpy here; without the barrier a compiler knows the loops for one, and calls it. */
static void copy(u8 *to, const u8 *from, size length)
{
    for (; length >= sizeof(lanes); to += sizeof(lanes), from += sizeof(lanes), length -= sizeof(lanes)) {
        lanes words = LOAD(lanes, from);
        __builtin_memcpy(to, &words, sizeof words);
        __asm__ volatile("" ::: "memory");
    }
    for (; length; to++, from++, length--) {
        *to = *from;
        __asm__ volatile("" ::: "memory");
    }
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
static void parse(struct job *job, const u8 *handed, size length, size header)
{
    u32 flags = handed[0], type = handed[1];

    job->frame = handed + header;
    job->length = length - header;
    job->needs_csum = flags & NEEDS_CSUM;
    job->gso = type & ~(u32)(GSO_TUNNEL | GSO_ECN);
    job->gso_size = little16(handed + 4);
    job->csum_start = little16(handed + 6);
    job->csum_offset = little16(handed + 8);
    job->tunnel = type & GSO_TUNNEL && header >= TUNNEL_HEADER;
    job->tunnel_csum = flags & TUNNEL_CSUM;
    job->inner_l3 = 0;
    find_outer(job);
    if (job->tunnel) /* below 0 it wraps around, and is beyond the frame's end */
        job->inner_l3 = little16(handed + 22) + job->l4 - little16(handed + 20);
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
EXPORT long vx_finish(const u8 *handed, size length, size header, u8 *out, size room, u32 *lengths,
                      size most)
{
    struct job job;
    struct cut cut;
    size whole, number = 0;

    parse(&job, handed, length, header);
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

/* ---- datagrams: made and recognised as agent/payload.py does, many at each call --------------- */

enum { DATAGRAM_HEADER = 16, POOL = 65521, STEP = 7919, MSG_TRUNC = 0x20 };
enum { RECEIVED, CORRUPT, DUPLICATES }; /* agent/batch.Tally */

/* struct iovec and struct mmsghdr of sendmmsg(2), where a pointer has 64 bits */
struct piece {
    u8 *at;
    size length;
};

struct message {
    struct {
        void *name;
        u32 name_length;
        struct piece *pieces;
        size number;
        void *control;
        size control_length;
        int flags;
    } header;
    u32 length;
};

/* binascii.crc_hqx(data, 0), by half bytes */
static u32 crc_hqx(const u8 *at, size length)
{
    static const u16 table[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
        0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
    };
    u32 crc = 0;

    for (; length; at++, length--) {
        crc = (crc << 4 ^ table[(crc >> 12 ^ *at >> 4) & 15]) & 0xffff;
        crc = (crc << 4 ^ table[(crc >> 12 ^ *at) & 15]) & 0xffff;
    }
    return crc;
}

static int equal(const u8 *one, const u8 *other, size length)
{
    for (; length >= 8; one += 8, other += 8, length -= 8)
        if (LOAD(u64, one) != LOAD(u64, other))
            return 0;
    for (; length; one++, other++, length--)
        if (*one != *other)
            return 0;
    return 1;
}

static void put_header(u8 *to, u32 mark, u32 sequence, u32 length)
{
    put32(to, 0x76787101); /* vxq, 1 */
    put32(to + 4, mark);
    put32(to + 8, sequence);
    put16(to + 12, length);
    put16(to + 14, crc_hqx(to, 14));
}

/* payload.Datagrams.make, for `count` numbers in turn and sizes of 16 to 65535: one behind the
 * other, and where each is if `pieces` is not null. Gives the bytes of all. */
EXPORT size vx_datagrams(const u8 *pool, u32 mark, u32 sequence, const u32 *sizes, size count,
                         u8 *out, struct piece *pieces)
{
    u8 *at = out;

    for (size index = 0; index < count; at += sizes[index++], sequence++) {
        put_header(at, mark, sequence, sizes[index]);
        copy(at + DATAGRAM_HEADER, pool + (u64)sequence * STEP % POOL, sizes[index] - DATAGRAM_HEADER);
        if (pieces) {
            pieces[index].at = at;
            pieces[index].length = sizes[index];
        }
    }
    return (size)(at - out);
}

/* payload.Datagrams.sequence_of: -1 for one that is not what its number determines */
EXPORT long vx_sequence_of(const u8 *pool, u32 mark, const u8 *datagram, size length)
{
    u8 header[DATAGRAM_HEADER];
    u32 sequence;

    if (length < DATAGRAM_HEADER || length > 0xffff)
        return -1;
    sequence = u32_at(datagram + 8);
    put_header(header, mark, sequence, (u32)length);
    if (!equal(header, datagram, DATAGRAM_HEADER))
        return -1;
    if (!equal(datagram + DATAGRAM_HEADER, pool + (u64)sequence * STEP % POOL, length - DATAGRAM_HEADER))
        return -1;
    return (long)sequence;
}

/* Counts what recvmmsg(2) gave; `here` has a byte for each number that may come, 1 if it has. */
EXPORT void vx_tally(const u8 *pool, u32 mark, const struct message *messages, size count, u8 *here,
                     size most, u64 *counts)
{
    for (const struct message *message = messages; message < messages + count; message++) {
        long sequence = vx_sequence_of(pool, mark, message->header.pieces->at, message->length);

        counts[RECEIVED]++;
        if (sequence < 0 || (size)sequence >= most || message->header.flags & MSG_TRUNC)
            counts[CORRUPT]++;
        else if (here[sequence])
            counts[DUPLICATES]++;
        else
            here[sequence] = 1;
    }
}

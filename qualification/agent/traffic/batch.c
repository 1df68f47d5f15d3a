/* Datagrams of the traffic generator, made and recognised as payload.py does, for batch.py. */

#include "wire/bytes.h"

enum { DATAGRAM_HEADER = 16, POOL = 65521, STEP = 7919, MSG_TRUNC = 0x20 };
enum { RECEIVED, CORRUPT, DUPLICATES }; /* batch.BatchCounts */

/* struct iovec and struct mmsghdr of sendmmsg(2), where a pointer has 64 bits */
struct io_vector {
    u8 *at;
    size length;
};

struct message {
    struct {
        void *name;
        u32 name_length;
        struct io_vector *vectors;
        size number;
        void *control;
        size control_length;
        int flags;
    } header;
    u32 length;
};

/* Implements binascii.crc_hqx(data, 0), four bits at a time. */
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

static void put_header(u8 *to, u32 mark, u32 sequence, u32 length)
{
    put32(to, 0x76787101); /* "vxq", version 1 */
    put32(to + 4, mark);
    put32(to + 8, sequence);
    put16(to + 12, length);
    put16(to + 14, crc_hqx(to, 14));
}

/* Implements payload.Datagrams.make for `count` consecutive sequence numbers and sizes of 16 to
 * 65535 bytes. Writes the datagrams to `out`, concatenated, and the place of each to `vectors`
 * unless that is null. Returns the number of bytes written. */
EXPORT size vx_datagrams(const u8 *pool, u32 mark, u32 sequence, const u32 *sizes, size count,
                         u8 *out, struct io_vector *vectors)
{
    u8 *at = out;

    for (size index = 0; index < count; at += sizes[index++], sequence++) {
        put_header(at, mark, sequence, sizes[index]);
        copy(at + DATAGRAM_HEADER, pool + (u64)sequence * STEP % POOL, sizes[index] - DATAGRAM_HEADER);
        if (vectors) {
            vectors[index].at = at;
            vectors[index].length = sizes[index];
        }
    }
    return (size)(at - out);
}

/* Implements payload.Datagrams.sequence_of. Returns -1 for a datagram whose bytes are not the ones
 * that its sequence number determines. */
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

/* Counts the datagrams that recvmmsg(2) returned. `received` has a byte for each sequence number of
 * the burst: 1 once it was received. */
EXPORT void vx_count_received(const u8 *pool, u32 mark, const struct message *messages, size count,
                     u8 *received, size most, u64 *counts)
{
    for (const struct message *message = messages; message < messages + count; message++) {
        long sequence = vx_sequence_of(pool, mark, message->header.vectors->at, message->length);

        counts[RECEIVED]++;
        if (sequence < 0 || (size)sequence >= most || message->header.flags & MSG_TRUNC)
            counts[CORRUPT]++;
        else if (received[sequence])
            counts[DUPLICATES]++;
        else
            received[sequence] = 1;
    }
}

/* The soft NIC's engine: carries frames from one TAP to another, for engine.py. */

#include "lab/softnic/segment.h"

/* Implements offload.finish: writes all frames of one descriptor to `out`, concatenated, and their
 * lengths to `lengths`. Returns their number, or -1 if the room is too small for the bytes or
 * the frames. */
EXPORT long vx_finish(const u8 *submitted, size length, size header, u8 *out, size room, u32 *lengths,
                      size most)
{
    struct tx_descriptor descriptor;
    struct segmenter segmenter;
    size whole, number = 0;

    parse(&descriptor, submitted, length, header);
    if (!begin(&segmenter, &descriptor))
        return 0;
    for (; more(&segmenter); out += whole, room -= whole, number++) {
        whole = next_length(&segmenter);
        if (number == most || whole > room)
            return -1;
        make_next(&segmenter, out, whole);
        lengths[number] = (u32)whole;
    }
    return (long)number;
}

enum { TAKEN, UNREAD, SUPER, SEGMENTS, SENT, DROPPED }; /* counters.NAMES */
enum { TOUCH_NONE, TOUCH_SEGMENTED, TOUCH_CSUM_PARTIAL, TOUCH_ALL }; /* engine._TOUCHES */
enum { EAGAIN = 11, EINVAL = 22, SHORTEST = 60 };

/* What the caller supplies: functions of its process's libc, buffers, counters, and limits. */
struct carry {
    long (*read)(int, void *, size);
    long (*write)(int, const void *, size);
    int *(*errno_at)(void);
    u8 *buffer; /* for the buffer that is read from the TAP */
    size room;
    u8 *out; /* for one frame with its vnet header: room + 128 bytes */
    u64 *counts;
    u64 left; /* buffers to read before the other direction has its turn */
    u32 touches; /* which buffers are left to the firmware */
};

/* Reads buffers from one TAP, segments them, computes their checksums, and writes each frame to the
 * other TAP with a write of its own.
 *
 * Stops at a buffer that the firmware has to see, leaves it in `buffer`, and returns its length
 * with the vnet header. Returns 0 when nothing more can be read for now, and -errno if the TAP is
 * broken. */
EXPORT long vx_carry(struct carry *carry, int from, size header, int to, size to_header)
{
    u64 *counts = carry->counts;
    u8 *frame = carry->out + to_header;

    zero(carry->out, to_header); /* no flags: the receiving kernel verifies the checksums */
    while (carry->left) {
        struct tx_descriptor descriptor;
        struct segmenter segmenter;
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
            continue; /* cannot happen: TUN writes the header first */
        counts[TAKEN]++;
        parse(&descriptor, carry->buffer, (size)length, header);
        if (carry->touches == TOUCH_ALL)
            return length;
        if (carry->touches >= TOUCH_SEGMENTED && descriptor.gso != GSO_NONE)
            return length;
        if (carry->touches >= TOUCH_CSUM_PARTIAL && descriptor.needs_csum)
            return length;
        counts[SUPER] += descriptor.gso != GSO_NONE;
        if (!begin(&segmenter, &descriptor))
            continue;
        while (more(&segmenter)) {
            whole = next_length(&segmenter);
            make_next(&segmenter, frame, whole);
            counts[SEGMENTS] += descriptor.gso != GSO_NONE;
            if (whole < SHORTEST) {
                zero(frame + whole, SHORTEST - whole);
                whole = SHORTEST;
            }
            counts[carry->write(to, carry->out, to_header + whole) < 0 ? DROPPED : SENT]++;
        }
    }
    return 0;
}

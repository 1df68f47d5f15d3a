/* Common to all C files here: integer types, bytes in network order, one's complement sums.
 *
 * The code is freestanding: it uses no system header, no libc and no external symbol, so that one
 * small shared object loads into any Python on any Linux of its architecture. setup.py builds one
 * shared object from each C file, and native.py loads it. The Python module next to a C file is the
 * reference: where the two differ, the C is wrong.
 */

#ifndef VX_BYTES_H
#define VX_BYTES_H

typedef __UINT8_TYPE__ u8;
typedef __UINT16_TYPE__ u16;
typedef __UINT32_TYPE__ u32;
typedef __UINT64_TYPE__ u64;
typedef __INT16_TYPE__ i16;
typedef __INT32_TYPE__ i32;
typedef __INT64_TYPE__ i64;
typedef __SIZE_TYPE__ size;

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

/* CRC-32 of the C file and of what it includes. setup.py sets it, and native.py refuses a shared
 * object that was built from other source. */
EXPORT const u32 vx_source = VX_SOURCE;

/* A load is a memcpy, which is free of alignment and aliasing rules and compiles to one
 * instruction. */
#define LOAD(type, from) \
    ({ type loaded; __builtin_memcpy(&loaded, (from), sizeof loaded); loaded; })

enum { ICMP = 1, TCP = 6, UDP = 17, ESP = 50, AH = 51, ICMPV6 = 58 };

/* ---- bytes in network order ------------------------------------------------------------------ */

static inline u32 u16_at(const u8 *at) { return (u32)at[0] << 8 | at[1]; }
static inline u32 u32_at(const u8 *at) { return u16_at(at) << 16 | u16_at(at + 2); }

static inline void put16(u8 *at, u32 value)
{
    at[0] = (u8)(value >> 8);
    at[1] = (u8)value;
}

static inline void put32(u8 *at, u32 value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

static inline int equal(const u8 *one, const u8 *other, size length)
{
    for (; length >= 8; one += 8, other += 8, length -= 8)
        if (LOAD(u64, one) != LOAD(u64, other))
            return 0;
    for (; length; one++, other++, length--)
        if (*one != *other)
            return 0;
    return 1;
}

/* ---- one's complement sums (RFC 1071) -------------------------------------------------------- */

/* A sum is a number modulo 2**64 - 1 over words in this machine's byte order, with the carry added
 * back. Reduced modulo 65535 it is the Internet checksum's sum, because 2**16 and 2**64 are both 1
 * modulo 65535. Swapping the bytes of the final sum replaces swapping each word (section 2 B), and
 * is not needed where only zero or non-zero matters. */
INLINE u64 plus(u64 sum, u64 more)
{
    sum += more;
    return sum + (sum < more);
}

/* Returns the number with the bytes of its 16-bit words swapped. A sum needs it if its range starts
 * at an odd offset; a plain number needs it on little-endian machines before it joins a sum. */
INLINE u64 swapped(u64 sum)
{
    return sum << 8 | sum >> 56;
}

INLINE u64 in_order(u64 number)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? swapped(number) : number;
}

/* Two lanes of 64 bits: SSE2 on x86_64, NEON on aarch64, scalar code elsewhere. Vector additions
 * have no carry, so the sum below adds 32-bit halves. */
typedef u64 lanes __attribute__((vector_size(16)));

/* The hardware prefetcher needs time to start, and starts again at each page. Code that reads
 * through memory therefore prefetches this many bytes ahead. A prefetch beyond the end of the
 * memory has no effect. */
enum { AHEAD = 2048, LINE = 64 };

INLINE void prefetch(const u8 *at, u64 ahead)
{
    __builtin_prefetch((const void *)((u64)at + ahead));
}

/* Returns the sum of `length` bytes, a multiple of 64. */
static inline u64 sum_of_many(const u8 *at, i64 length)
{
    lanes all = {0, 0}, high = {0, 0};
    for (; length; at += 64, length -= 64) {
        lanes one = LOAD(lanes, at), two = LOAD(lanes, at + 16);
        lanes three = LOAD(lanes, at + 32), four = LOAD(lanes, at + 48);
        prefetch(at, AHEAD);
        all += (one + two) + (three + four);
        high += ((one >> 32) + (two >> 32)) + ((three >> 32) + (four >> 32));
    }
    high += all - (high << 32); /* `all` may have wrapped around; its low halves have not */
    return plus(high[0], high[1]);
}

/* Returns the sum of `length` bytes; an odd last byte is padded with zero. */
INLINE u64 sum_of(const u8 *at, i64 length)
{
    u64 sum = 0;

    if (length >= 64) {
        sum = sum_of_many(at, length & ~63);
        at += length & ~63;
        length &= 63;
    }
    for (; length >= 16; at += 16, length -= 16)
        sum = plus(plus(sum, LOAD(u64, at)), LOAD(u64, at + 8));
    if (length & 8) {
        sum = plus(sum, LOAD(u64, at));
        at += 8;
    }
    if (length & 4) {
        sum = plus(sum, LOAD(u32, at));
        at += 4;
    }
    if (length & 2) {
        sum = plus(sum, LOAD(u16, at));
        at += 2;
    }
    if (length & 1) {
        const u8 padded[2] = {*at, 0};
        sum = plus(sum, LOAD(u16, padded));
    }
    return sum;
}

/* Implements checksum.ones_sum: 0 to 65534. */
static inline u32 ones_sum(const u8 *data, size length)
{
    return (u32)(in_order(sum_of(data, (i64)length)) % 65535);
}

/* There is no libc memcpy to call. Without the barriers the compiler recognises the loops as memcpy
 * and emits a call to it. */
static inline void copy(u8 *to, const u8 *from, size length)
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

#endif

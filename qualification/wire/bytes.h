/* What every C file here stands on: words, bytes in network order, one's complement sums.
 *
 * Freestanding: no header, no libc, no other symbol, so that one small shared object loads into
 * any Python on any Linux of its architecture. setup.py builds one of each C file for native.py.
 * The Python next to it is the reference: where the two differ, the C is wrong.
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

/* CRC-32 of a C file and what it includes, by setup.py: a native of another source is none. */
EXPORT const u32 vx_source = VX_SOURCE;

/* Loads are memcpy, which knows neither alignment nor types, and compiles to one instruction. */
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

/* A sum is a number modulo 2**64 - 1, as words of this machine's order, with the carry added back;
 * modulo 65535 it is the one that is asked for, for 2**16 is 1 there, and so is 2**64. Swapping the
 * bytes of the end result does for swapping each word (section 2 B), and is no matter where the
 * question is whether it is zero. */
INLINE u64 plus(u64 sum, u64 more)
{
    sum += more;
    return sum + (sum < more);
}

/* The same number with the bytes of its words swapped: once for a range that starts at an odd
 * offset, and on little-endian machines once for a number that is to join such a sum. */
INLINE u64 swapped(u64 sum)
{
    return sum << 8 | sum >> 56;
}

INLINE u64 in_order(u64 number)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? swapped(number) : number;
}

/* Two lanes of 64 bits: SSE2 on x86_64, NEON on aarch64, and plain code elsewhere. They have no
 * carry, so that halves of 32 bits are added there. */
typedef u64 lanes __attribute__((vector_size(16)));

/* Memory is slow to begin, and begins anew with each page: who goes through it asks so far ahead.
 * Beyond its end that does nothing. */
enum { AHEAD = 2048, LINE = 64 };

INLINE void ask_for(const u8 *at, u64 ahead)
{
    __builtin_prefetch((const void *)((u64)at + ahead));
}

/* The sum of many bytes, a multiple of 64. */
static inline u64 sum_of_many(const u8 *at, i64 length)
{
    lanes all = {0, 0}, high = {0, 0};
    for (; length; at += 64, length -= 64) {
        lanes one = LOAD(lanes, at), two = LOAD(lanes, at + 16);
        lanes three = LOAD(lanes, at + 32), four = LOAD(lanes, at + 48);
        ask_for(at, AHEAD);
        all += (one + two) + (three + four);
        high += ((one >> 32) + (two >> 32)) + ((three >> 32) + (four >> 32));
    }
    high += all - (high << 32); /* `all` may have wrapped around; its low halves have not */
    return plus(high[0], high[1]);
}

/* The sum of bytes, an odd last byte padded with zero. */
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

/* checksum.ones_sum: 0 to 65534. */
static inline u32 ones_sum(const u8 *data, size length)
{
    return (u32)(in_order(sum_of(data, (i64)length)) % 65535);
}

/* There is no memcpy here; without the barrier a compiler knows the loops for one, and calls it. */
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

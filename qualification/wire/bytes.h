/* What every C file here stands on: words, bytes in network order, one's complement sums.
 *
 * Freestanding: no header, no libc, no other symbol, so that one small shared object loads into
 * any Python on any Linux of its architecture. setup.py builds one of each C file, twin.py loads it.
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

/* CRC-32 of the C file and what it includes, put in by setup.py: a twin of another source is none. */
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

/* ---- one's complement sums (RFC 1071) -------------------------------------------------------- */

/* Two lanes of 64 bits, in which 32-bit words are added without a carry to look after: SSE2 on
 * x86_64, NEON on aarch64, and plain code elsewhere. */
typedef u64 lanes __attribute__((vector_size(16)));

/* Half the width, the same number modulo 65535, for 2**16 is 1 there, and so is 2**32. */
static inline u64 half(u64 sum)
{
    return (sum >> 32) + (u32)sum;
}

/* The sum of bytes as words of this machine's order, an odd last byte padded with zero: below
 * 2**40, and not reduced, so that sums add up to sums. Swapping the bytes of the end result does
 * for swapping each word (RFC 1071, section 2 B), and is no matter where the question is whether
 * it is zero. */
static inline u64 sum_of(const u8 *at, i64 length)
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
static inline u64 swapped(u64 sum)
{
    return sum % 65535 << 8;
}

static inline u64 in_order(u64 number)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? swapped(number) : number;
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

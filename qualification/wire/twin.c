/* The C twin of the verifier: the same answers as verify.py and checksum.py, a hundred times as fast.
 *
 * Freestanding: no header, no libc, no other symbol, so that one small shared object loads into
 * any Python on any Linux of its architecture. twin.py is what loads it, and setup.py what builds it.
 * The Python next to it is the reference: where the two differ, this file is wrong.
 */

typedef __UINT8_TYPE__ u8;
typedef __UINT16_TYPE__ u16;
typedef __UINT32_TYPE__ u32;
typedef __UINT64_TYPE__ u64;
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

/* The residue of a sum modulo 65535 as big-endian words have it. The sum is over words as this
 * machine loads them: swapping the bytes of the result does for swapping each (section 2 B). */
static u32 residue(u64 sum)
{
    sum = half(sum); /* below 2**33 */
    sum = (sum >> 16) + (sum & 0xffff); /* below 2**18 */
    sum = (sum >> 16) + (sum & 0xffff); /* below 2**16 + 3 */
    sum = (sum >> 16) + (sum & 0xffff);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    sum = __builtin_bswap16((u16)sum);
#endif
    return sum == 0xffff ? 0 : (u32)sum;
}

/* checksum.ones_sum: 0 to 65534; an odd last byte is padded with zero on the right. */
static u32 ones_sum(const u8 *at, size length)
{
    const lanes low_half = {0xffffffff, 0xffffffff};
    lanes low = {0, 0}, high = {0, 0};
    u64 sum = 0;

    for (; length >= 32; at += 32, length -= 32) {
        lanes first = LOAD(lanes, at), second = LOAD(lanes, at + 16);
        low += (first & low_half) + (second & low_half);
        high += (first >> 32) + (second >> 32);
    }
    low += high;
    if (length & 16) {
        sum = half(LOAD(u64, at)) + half(LOAD(u64, at + 8));
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
    return residue(sum + half(low[0]) + half(low[1]));
}

EXPORT u32 vx_ones_sum(const u8 *data, size length)
{
    return ones_sum(data, length);
}

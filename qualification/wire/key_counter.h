/* Counts distinct keys in memory that is allocated once: native.KeyCounter.
 *
 * The including file defines KEY_WORDS, the length of a key in 64-bit words.
 */

#ifndef VX_KEY_COUNTER_H
#define VX_KEY_COUNTER_H

#include "wire/bytes.h"

struct entry {
    u64 key[KEY_WORDS];
    u64 count;
};

/* `entries` holds the distinct keys in the order in which they were first seen. `slots` is a hash
 * table of 1 + index into `entries`; its size is a power of two greater than `capacity`. The owner
 * of the memory clears it. */
struct key_counter {
    struct entry *entries;
    u32 *slots;
    u32 capacity, used, slot_mask;
};

INLINE int same_key(const u64 *one, const u64 *other)
{
    u64 differ = 0;
    for (int i = 0; i < KEY_WORDS; i++)
        differ |= one[i] ^ other[i];
    return !differ;
}

/* Returns 64 bits on which every bit of two words has an effect. The high half of the product matters:
 * addresses differ in their last bytes, which are the high ones of a word on little-endian machines. */
INLINE u64 mixed(u64 one, u64 other)
{
    unsigned __int128 product = (unsigned __int128)one * other;
    return (u64)product ^ (u64)(product >> 64);
}

INLINE u64 hash_of(const u64 *key)
{
    const u64 salt = 0x9e3779b97f4a7c15u, pepper = 0xd6e8feb86659fd93u; /* odd, of no pattern */
    u64 hash = 0;
    for (int i = 0; i < KEY_WORDS; i += 2) /* independent multiplications */
        hash = (hash << 7 | hash >> 57) ^ mixed(key[i] ^ salt, (i + 1 < KEY_WORDS ? key[i + 1] : 0) ^ pepper);
    return mixed(hash, salt);
}

INLINE u32 slot_of(const struct key_counter *counter, u64 hash) { return (u32)(hash >> 32) & counter->slot_mask; }

/* Counts a key whose hash is known. Returns 0 if the key is new and there is no room for it. */
INLINE int count_hashed(struct key_counter *counter, const u64 *key, u64 hash)
{
    u32 slot = slot_of(counter, hash);
    while (counter->slots[slot]) {
        struct entry *entry = &counter->entries[counter->slots[slot] - 1];
        if (same_key(entry->key, key)) {
            entry->count++;
            return 1;
        }
        slot = (slot + 1) & counter->slot_mask;
    }
    if (counter->used == counter->capacity)
        return 0;
    struct entry *entry = &counter->entries[counter->used];
    for (int i = 0; i < KEY_WORDS; i++)
        entry->key[i] = key[i];
    entry->count = 1;
    counter->slots[slot] = ++counter->used;
    return 1;
}

INLINE int count_key(struct key_counter *counter, const u64 *key) { return count_hashed(counter, key, hash_of(key)); }

#endif

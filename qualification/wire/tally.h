/* Counts what is alike, in memory that is given once: `Tally` of native.py.
 *
 * Who includes this says how long a key is: KEY_WORDS.
 */

#ifndef VX_TALLY_H
#define VX_TALLY_H

#include "wire/bytes.h"

struct entry {
    u64 key[KEY_WORDS];
    u64 count;
};

/* Distinct keys in the order in which they were first seen. Whoever gives the memory empties it:
 * `slots` is a hash table of places in `entries` plus one, of a power of two that is larger. */
struct tally {
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

/* Counts a key; 0 if there is no room for a new one. */
INLINE int count(struct tally *tally, const u64 *key)
{
    u64 hash = 0;
    for (u64 i = 0; i < KEY_WORDS; i++) /* multiplications that need not wait for each other */
        hash += (key[i] ^ key[i] >> 32) * (0x9e3779b97f4a7c15u + 2 * i); /* Knuth's constant */
    u32 slot = (u32)(hash >> 32) & tally->slot_mask;
    while (tally->slots[slot]) {
        struct entry *entry = &tally->entries[tally->slots[slot] - 1];
        if (same_key(entry->key, key)) {
            entry->count++;
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
    tally->slots[slot] = ++tally->used;
    return 1;
}

#endif

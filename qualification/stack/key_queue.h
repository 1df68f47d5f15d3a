/* Keys on their way into a counter.
 *
 * A capture of thousands of flows has so many keys that neither their slots nor their entries are in the
 * cache: they are fetched into it while the frames behind them are walked through.
 */

#ifndef VX_KEY_QUEUE_H
#define VX_KEY_QUEUE_H

#include "wire/key_counter.h"

#define QUEUED 8 /* keys of a full queue, a power of two */

struct key_queue {
    u64 keys[QUEUED][KEY_WORDS];
    u64 hashes[QUEUED];
    u32 pushed, counted; /* how many so far */
};

/* Returns the place of the key that is pushed next. */
INLINE u64 *next_key(struct key_queue *queue) { return queue->keys[queue->pushed % QUEUED]; }

/* Returns whether there is room for all keys of a full queue. */
INLINE int has_room(const struct key_counter *counter) { return counter->capacity - counter->used >= QUEUED; }

INLINE void count_oldest(struct key_counter *counter, struct key_queue *queue)
{
    u32 at = queue->counted++ % QUEUED;
    count_hashed(counter, queue->keys[at], queue->hashes[at]);
}

/* Pushes the key that is in the place that next_key has returned. There has to be room for it. */
INLINE void push_key(struct key_counter *counter, struct key_queue *queue)
{
    u64 hash = hash_of(next_key(queue));
    queue->hashes[queue->pushed++ % QUEUED] = hash;
    __builtin_prefetch(&counter->slots[slot_of(counter, hash)]);
    u32 length = queue->pushed - queue->counted;
    if (length >= QUEUED / 2) { /* by now the slot of this one is there, and says where its entry is */
        u32 index = counter->slots[slot_of(counter, queue->hashes[(queue->pushed - QUEUED / 2) % QUEUED])];
        if (index) {
            __builtin_prefetch(&counter->entries[index - 1], 1);
            __builtin_prefetch(&counter->entries[index - 1].count, 1);
        }
    }
    if (length == QUEUED)
        count_oldest(counter, queue);
}

/* Counts every key that is still in the queue. */
INLINE void count_rest(struct key_counter *counter, struct key_queue *queue)
{
    while (queue->counted != queue->pushed)
        count_oldest(counter, queue);
}

#endif

/* Measures the speed of memory: adds up its 64-bit words, and does nothing else. */

#include <stddef.h>
#include <stdint.h>

uint64_t plain_sum(const uint64_t *words, size_t count)
{
    uint64_t sum = 0;
    for (size_t at = 0; at < count; at++)
        sum += words[at];
    return sum;
}

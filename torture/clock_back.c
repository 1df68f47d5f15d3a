/* Sets the clock of one process, and of those that it starts, back by an hour while a file exists.
 *
 * Loaded by LD_PRELOAD. The machine's own clock is everybody's, and time namespaces have none of their
 * own (time_namespaces(7)). CLOCK_MONOTONIC, and whatever waits by it, is left alone, as it is where
 * somebody sets a clock.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define FILE_VARIABLE "VXQUAL_CLOCK_BACK"
#define BACK_SECONDS 3600

static time_t back(void)
{
	const char *path = getenv(FILE_VARIABLE);

	return path && access(path, F_OK) == 0 ? BACK_SECONDS : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = (int)syscall(SYS_clock_gettime, clock, now);

	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec -= back();
	return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec exact;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &exact) != 0)
		return -1;
	now->tv_sec = exact.tv_sec;
	now->tv_usec = exact.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *where)
{
	struct timespec exact;

	if (clock_gettime(CLOCK_REALTIME, &exact) != 0)
		return (time_t)-1;
	if (where)
		*where = exact.tv_sec;
	return exact.tv_sec;
}

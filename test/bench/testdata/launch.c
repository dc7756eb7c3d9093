/*
 * launch PROGRAM [ARGUMENT...] runs a program with the environment and the standard
 * streams that it was given itself, and writes to descriptor 3 what that took: the time
 * from before the process exists until it is gone, and what the kernel counted for it.
 *
 * It is a process of its own because a child starts with its parent's peak of memory
 * (setmax_mm_hiwater_rss in the kernel's exec_mmap): a Go parent's would hide its child's.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REPORT = 3 };

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long microseconds(struct timeval t) { return t.tv_sec * 1000000LL + t.tv_usec; }

int main(int argc, char **argv)
{
	pid_t child;
	int status;
	struct rusage used;

	if (argc < 2 || fcntl(REPORT, F_SETFD, FD_CLOEXEC) != 0)
		return 2;
	long long start = now();
	if (posix_spawn(&child, argv[1], NULL, NULL, argv + 1, environ) != 0 || wait4(child, &status, 0, &used) != child)
		return 2;
	long long took = now() - start;
	dprintf(REPORT, "%lld %lld %ld %ld\n", took, microseconds(used.ru_utime) + microseconds(used.ru_stime),
		used.ru_minflt + used.ru_majflt, used.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

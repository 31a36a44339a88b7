/* Loaded before the C library of a node that is tested: while the file TROUBLE_FILE exists, writes and syncs of files whose
   path has TROUBLE_PATH in it fail with the error TROUBLE_ERRNO; the wall clock is TROUBLE_SECONDS away from the right time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int fails(int fd) {
  const char *trigger = getenv("TROUBLE_FILE"), *part = getenv("TROUBLE_PATH"), *number = getenv("TROUBLE_ERRNO");
  if (!trigger || !part || !number || access(trigger, F_OK) != 0) return 0;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (!strstr(path, part)) return 0;
  errno = atoi(number);
  return 1;
}

int fsync(int fd) {
  int (*next)(int) = dlsym(RTLD_NEXT, "fsync");
  return fails(fd) ? -1 : next(fd);
}

int fdatasync(int fd) {
  int (*next)(int) = dlsym(RTLD_NEXT, "fdatasync");
  return fails(fd) ? -1 : next(fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
  return fails(fd) ? -1 : next(fd, bytes, count);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int (*next)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
  int result = next(clock, time);
  const char *seconds = getenv("TROUBLE_SECONDS");
  if (result == 0 && clock == CLOCK_REALTIME && seconds) time->tv_sec += atoll(seconds);
  return result;
}

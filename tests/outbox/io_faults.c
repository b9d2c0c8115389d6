/* Lets calls of the C library fail that change files below one path; preloaded, so that it stands before that library.

   faults_arm(path, place, one_in, error, is_lasting, is_torn): the call at this place fails with this error, or the
   process is killed there if the error is 0. If the place is 0, one call of so many fails, at random. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char prefix[PATH_MAX];
static long place, seen, hits;
static int one_in, error, is_lasting, is_torn;
static unsigned int chance;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void faults_arm(const char *path, long at, int in, int with, int lasting, int torn) {
    snprintf(prefix, sizeof prefix, "%s", path);
    place = at, one_in = in, error = with, is_lasting = lasting, is_torn = torn;
    seen = hits = 0;
    chance = (unsigned int)getpid();
}

long faults_disarm(void) {
    prefix[0] = 0;
    return hits;
}

static int fails(const char *path) {
    if (!prefix[0] || strncmp(path, prefix, strlen(prefix))) return 0;
    seen++;
    if (place ? seen == place || (is_lasting && seen > place) : rand_r(&chance) % one_in == 0) {
        hits++;
        return 1;
    }
    return 0;
}

static int fails_on(int descriptor) {
    char link[64], path[PATH_MAX];
    if (!prefix[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path);
}

static int fail(void) {
    if (!error) kill(getpid(), SIGKILL);
    errno = error;
    return -1;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t offset) {
    if (!fails_on(descriptor)) return NEXT(pwrite64)(descriptor, bytes, count, offset);
    if (is_torn) NEXT(pwrite64)(descriptor, bytes, count / 2, offset);
    return fail();
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    if (!fails_on(descriptor)) return NEXT(write)(descriptor, bytes, count);
    if (is_torn) NEXT(write)(descriptor, bytes, count / 2);
    return fail();
}

int fsync(int descriptor) { return fails_on(descriptor) ? fail() : NEXT(fsync)(descriptor); }

int fdatasync(int descriptor) { return fails_on(descriptor) ? fail() : NEXT(fdatasync)(descriptor); }

int ftruncate64(int descriptor, off64_t length) {
    return fails_on(descriptor) ? fail() : NEXT(ftruncate64)(descriptor, length);
}

int rename(const char *path, const char *target) { return fails(path) ? fail() : NEXT(rename)(path, target); }

int unlink(const char *path) { return fails(path) ? fail() : NEXT(unlink)(path); }

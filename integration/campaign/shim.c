/* Faults of the machine for the processes of a campaign, by LD_PRELOAD: a wall clock that jumps, a disk that fails.

   The file that CAMPAIGN_SHIM names holds four numbers: seconds to add to the wall clock, and how many of 1,000 writes, syncs and
   reads of the store fail with EIO. Other files and other clocks are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control { int64_t clock, writes, syncs, reads; };
static volatile struct control *control;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CAMPAIGN_SHIM");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(0, sizeof(struct control), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED) control = found;
}

static int fails(int64_t permille, int file) {
    char link[64], path[4096];
    static __thread unsigned seed = 0;
    if (!permille) return 0;
    if (!seed) seed = (unsigned)getpid() ^ (unsigned)time(0);
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    if (!strstr(path, "store.sqlite") || strstr(path, "-shm")) return 0;
    if ((int64_t)(rand_r(&seed) % 1000) >= permille) return 0;
    errno = EIO;
    return 1;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)

int clock_gettime(clockid_t clock, struct timespec *when) {
    REAL(clock_gettime);
    int done = real(clock, when);
    if (!done && control && clock == CLOCK_REALTIME) when->tv_sec += control->clock;
    return done;
}
ssize_t write(int file, const void *data, size_t size) {
    REAL(write);
    return control && fails(control->writes, file) ? -1 : real(file, data, size);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    return control && fails(control->writes, file) ? -1 : real(file, data, size, at);
}
ssize_t pread64(int file, void *data, size_t size, off64_t at) {
    REAL(pread64);
    return control && fails(control->reads, file) ? -1 : real(file, data, size, at);
}
int fsync(int file) {
    REAL(fsync);
    return control && fails(control->syncs, file) ? -1 : real(file);
}
int fdatasync(int file) {
    REAL(fdatasync);
    return control && fails(control->syncs, file) ? -1 : real(file);
}

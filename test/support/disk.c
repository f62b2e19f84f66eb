// A disk that may lose its power, for one folder. Loaded before all other libraries into the programs that write there (LD_PRELOAD). What
// they write is in their folder, as always; what has been synced is copied to a second folder: that is the disk. Once the power is off
// nothing is synced any more, and who waits for a sync waits for good.
//
// DISK_ROOT is the folder, DISK the second one, DISK_OFF a file that is there once the power is off. With DISK_LIES a sync is acknowledged
// and nothing is copied or kept. While the file DISK_FULL is there, no file grows. Names (rename, unlink, link) are kept at once and in order, as by a journal: what is tested is what they lead to.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *root, *disk, *off, *full;
static size_t root_length;
static int lies;
/* The program itself, and of a server the one that its processes belong to. */
static pid_t first;

/* A copy: PostgreSQL writes its title over its environment. */
static const char *of_environment(const char *name) {
  const char *value = getenv(name);
  return value ? strdup(value) : NULL;
}

__attribute__((constructor)) static void begin(void) {
  root = of_environment("DISK_ROOT");
  disk = of_environment("DISK");
  off = of_environment("DISK_OFF");
  full = of_environment("DISK_FULL");
  lies = getenv("DISK_LIES") != NULL;
  first = getpid();
  root_length = root ? strlen(root) : 0;
}

/* With the server gone nobody would end who waits. */
static void wait_where_power_is_off(void) {
  if (!off || access(off, F_OK) != 0) return;
  while (getpid() == first || getppid() == first) usleep(1000);
  _exit(1);
}

/* Where the disk has it. 0 where it is none of this folder. */
static int on_disk(const char *path, char *out) {
  char whole[PATH_MAX];
  if (!root || !disk || !path) return 0;
  if (path[0] != '/') {
    char here[PATH_MAX];
    if (!getcwd(here, sizeof here)) return 0;
    if (snprintf(whole, sizeof whole, "%s/%s", here, strncmp(path, "./", 2) == 0 ? path + 2 : path) >= PATH_MAX) return 0;
    path = whole;
  }
  if (strncmp(path, root, root_length) != 0 || path[root_length] != '/') return 0;
  return snprintf(out, PATH_MAX, "%s%s", disk, path + root_length) < PATH_MAX;
}

static void make_folders(char *path) {
  for (char *at = strchr(path + strlen(disk) + 1, '/'); at; at = strchr(at + 1, '/')) {
    *at = 0;
    mkdir(path, 0700);
    *at = '/';
  }
}

static int fail(const char *what) {
  int error = errno;
  fprintf(stderr, "disk.c: %s: %s\n", what, strerror(error));
  abort();
}

/* As it is now: with what was written since the sync began, which a disk may have taken too. */
static void copy(int in, const char *to) {
  static const size_t size = 1 << 18;
  int out = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (out < 0) fail(to);
  // Of two that sync the same file the later one reads later.
  if (flock(out, LOCK_EX) != 0) fail("flock");
  char *bytes = malloc(size), *there = malloc(size);
  off_t at = 0;
  for (ssize_t got; (got = pread(in, bytes, size, at)) != 0; at += got) {
    if (got < 0) fail("pread");
    if (pread(out, there, (size_t)got, at) == got && memcmp(there, bytes, (size_t)got) == 0) continue;
    if (pwrite(out, bytes, (size_t)got, at) != got) fail("pwrite");
  }
  if (ftruncate(out, at) != 0) fail("ftruncate");
  free(bytes);
  free(there);
  close(out);
}

static int keep(int fd) {
  char link[64], path[PATH_MAX], to[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return errno = EBADF, -1;
  path[length] = 0;
  if (!on_disk(path, to)) return 0;
  wait_where_power_is_off();
  struct stat state;
  if (fstat(fd, &state) != 0 || !S_ISREG(state.st_mode) || state.st_nlink == 0 || lies) return 0;
  make_folders(to);
  copy(fd, to);
  return 0;
}

int fsync(int fd) {
  return keep(fd);
}

int fdatasync(int fd) {
  return keep(fd);
}

#define REAL(name) static int (*real)(); if (!real) *(void **)&real = dlsym(RTLD_NEXT, name)

static ssize_t write_at(int fd, const void *bytes, size_t count, off_t at) {
  REAL("pwrite64");
  struct stat state;
  char link[64], path[PATH_MAX], to[PATH_MAX];
  if (full && access(full, F_OK) == 0 && fstat(fd, &state) == 0 && at + (off_t)count > state.st_size) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    if (on_disk(path, to)) return errno = ENOSPC, -1;
  }
  return ((ssize_t(*)(int, const void *, size_t, off_t))real)(fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  return write_at(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
  return write_at(fd, bytes, count, at);
}

static void moved(const char *from, const char *to) {
  char old[PATH_MAX], new[PATH_MAX];
  if (lies || !on_disk(from, old) || !on_disk(to, new)) return;
  wait_where_power_is_off();
  REAL("rename");
  make_folders(new);
  // Of a file that was never synced there is the name alone.
  if (real(old, new) != 0) close(open(new, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
}

int rename(const char *from, const char *to) {
  REAL("rename");
  int result = real(from, to);
  if (result == 0) moved(from, to);
  return result;
}

int unlink(const char *path) {
  REAL("unlink");
  char there[PATH_MAX];
  int result = real(path);
  if (result == 0 && !lies && on_disk(path, there)) {
    wait_where_power_is_off();
    real(there);
  }
  return result;
}

int link(const char *from, const char *to) {
  REAL("link");
  char old[PATH_MAX], new[PATH_MAX];
  int result = real(from, to);
  if (result == 0 && !lies && on_disk(from, old) && on_disk(to, new)) {
    wait_where_power_is_off();
    real(old, new);
  }
  return result;
}

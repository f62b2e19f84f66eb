// The operating system as Linux and macOS have it.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#include "host.h"

extern char **environ;

const char *const host_system = "posix";

char **host_arguments(int argc, char **argv) { return argc > 0 ? argv + 1 : argv; }

char **host_environment(void) { return environ; }

bool host_uid(uint32_t *uid) {
  *uid = (uint32_t)geteuid();
  return true;
}

static bool is_raw(int fd) {
  struct termios mode;
  return tcgetattr(fd, &mode) == 0 && !(mode.c_lflag & ICANON);
}

// Whether the caller's output is the terminal that our words would go to. Where that is not known, it may be.
static bool caller_draws_on(dev_t terminal) {
  char path[64];
  struct stat stat_of_output;
  snprintf(path, sizeof path, "/proc/%ld/fd/1", (long)getppid());
  return stat(path, &stat_of_output) != 0 || stat_of_output.st_rdev == terminal;
}

const char *host_terminal(void) {
  bool shown = isatty(2) == 1;
  if (!is_raw(0) && !is_raw(2)) return shown ? "lines" : "none";
  struct stat terminal;
  return shown && fstat(2, &terminal) == 0 && caller_draws_on(terminal.st_rdev) ? "drawn_on" : "taken";
}

// As /proc says it: its 22nd field, counted behind the name, which may be anything.
static void start_of(pid_t pid, char *start, size_t size) {
  char path[64], stat[1024];
  snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, stat, sizeof stat - 1);
  if (fd >= 0) close(fd);
  *start = 0;
  if (length <= 0) return;
  stat[length] = 0;
  char *at = strrchr(stat, ')');
  for (int field = 2; at && field < 22; field++) {
    at = strchr(at, ' ');
    if (at) at++;
  }
  if (at) snprintf(start, size, "%.*s", (int)strcspn(at, " "), at);
}

// Where it cannot be known, a terminal is nobody's to pass on.
static bool shares_stderr(pid_t parent) {
  char path[64];
  struct stat ours, theirs;
  if (fstat(2, &ours)) return false;
  snprintf(path, sizeof path, "/proc/%ld/fd/2", (long)parent);
  if (stat(path, &theirs)) return S_ISCHR(ours.st_mode);
  return theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

bool host_caller(char *text, size_t size) {
  char start[32];
  pid_t parent = getppid();
  if (parent <= 0 || !shares_stderr(parent)) return false;
  start_of(parent, start, sizeof start);
  snprintf(text, size, "%ld %s", (long)parent, start);
  return true;
}

static void describe(const struct stat *stat, struct found *found) {
  found->kind = S_ISREG(stat->st_mode) ? KIND_FILE : S_ISDIR(stat->st_mode) ? KIND_DIRECTORY : KIND_OTHER;
  found->uid = (uint32_t)stat->st_uid;
  found->mode = (uint32_t)stat->st_mode & 0777;
}

int host_lstat(const char *path, struct found *found) {
  struct stat stat;
  if (lstat(path, &stat)) return errno;
  describe(&stat, found);
  return 0;
}

int host_read(const char *path, size_t most, bool follow, struct found *found) {
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
  if (fd < 0) return errno;
  struct stat stat;
  int fault = fstat(fd, &stat) ? errno : 0;
  if (!fault) describe(&stat, found);
  if (!fault && found->kind == KIND_FILE && (uint64_t)stat.st_size <= most) {
    size_t size = (size_t)stat.st_size;
    found->content = malloc(size + 1);
    if (!found->content) abort();
    while (!fault && found->length < size) {
      ssize_t got = read(fd, found->content + found->length, size - found->length);
      if (got == 0) break;
      if (got > 0) found->length += (size_t)got;
      else if (errno != EINTR) fault = errno;
    }
    found->content[found->length] = 0;
  }
  close(fd);
  return fault;
}

void host_replace(const char *path, const char *text, size_t length) {
  size_t size = strlen(path) + 32;
  char *temporary = malloc(size);
  if (!temporary) abort();
  snprintf(temporary, size, "%s.%ld.tmp", path, (long)getpid());
  int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd >= 0) {
    bool whole = host_write(fd, text, length);
    close(fd);
    if (!whole || rename(temporary, path)) unlink(temporary);
  }
  free(temporary);
}

bool host_write(int fd, const char *text, size_t length) {
  while (length > 0) {
    ssize_t wrote = write(fd, text, length);
    if (wrote >= 0) {
      text += wrote;
      length -= (size_t)wrote;
    } else if (errno == EAGAIN) {
      struct pollfd full = {.fd = fd, .events = POLLOUT};
      poll(&full, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

char *host_self(void) {
#ifdef __APPLE__
  char name[PATH_MAX];
  uint32_t size = sizeof name;
  return _NSGetExecutablePath(name, &size) ? NULL : realpath(name, NULL);
#else
  static const char deleted[] = " (deleted)";
  char name[PATH_MAX + sizeof deleted];
  ssize_t length = readlink("/proc/self/exe", name, sizeof name - 1);
  if (length <= 0) return NULL;
  name[length] = 0;
  // Replaced by a newer one since it was started: what stands beside it is the newer one's, and as good.
  size_t end = (size_t)length - (sizeof deleted - 1);
  if ((size_t)length > sizeof deleted && strcmp(name + end, deleted) == 0 && access(name, F_OK)) name[end] = 0;
  return strdup(name);
#endif
}

// Others of the caller's descriptors would be held open by what runs on: a lock of a script, the end of a pipe.
static void close_from(int first) {
  long most = sysconf(_SC_OPEN_MAX);
  if (most < 0 || most > 4096) most = 4096;
  for (int fd = first; fd < most; fd++) close(fd);
}

// One at a time, and none less than this many seconds after the one before. Returns a descriptor that holds the lock, or -1.
enum { PAUSE = 10, LOCK = 3 };
static int claim(const char *file) {
  int fd = open(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  struct stat stat;
  if (fd < 0) return -1;
  if (fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
      fstat(fd, &stat) == 0) {
    time_t since = time(NULL) - stat.st_mtime;
    bool tried = stat.st_size > 0 && since >= 0 && since < PAUSE;
    if (!tried && pwrite(fd, "x", 1, 0) == 1) return fd;
  }
  close(fd);
  return -1;
}

void host_leave_behind(const char *file, const char *node, const char *program, char **arguments) {
  int lock = claim(file);
  if (lock < 0) return;
  if (fork() != 0) return;
  // Whoever reads our output waits until nobody has it: before all else.
  int nothing = open("/dev/null", O_RDWR);
  if (nothing < 0) _exit(1);
  for (int fd = 0; fd < 3; fd++)
    if (dup2(nothing, fd) < 0) _exit(1);
  // Without O_CLOEXEC: the lock is free when the last of it has ended.
  if (lock == LOCK ? fcntl(lock, F_SETFD, 0) : dup2(lock, LOCK) < 0) _exit(1);
  close_from(LOCK + 1);
  if (setsid() < 0 || chdir("/")) _exit(1);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGALRM, SIG_DFL);
  alarm(30);
  host_become(node, program, arguments);
  _exit(1);
}

void host_become(const char *node, const char *program, char **arguments) {
  size_t count = 0;
  while (arguments[count]) count++;
  char **words = calloc(count + 3, sizeof *words);
  if (!words) abort();
  words[0] = (char *)node;
  words[1] = (char *)program;
  memcpy(words + 2, arguments, count * sizeof *words);
  // Whoever wrote a kubeconfig also chose the environment: no more is run than this.
  unsetenv("NODE_OPTIONS");
  unsetenv("NODE_PATH");
  execv(node, words);
}

// peak COMMAND ARGUMENT...: runs it, and prints the most memory it had at once, in KiB. Small itself: a child counts what its
// parent had before exec.

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 2) return 64;
  pid_t child = fork();
  if (child == 0) {
    execv(argv[1], argv + 1);
    _exit(127);
  }
  int status;
  struct rusage usage;
  if (child < 0 || wait4(child, &status, 0, &usage) != child || !WIFEXITED(status)) return 1;
  fprintf(stderr, "%ld\n", usage.ru_maxrss);
  return WEXITSTATUS(status);
}

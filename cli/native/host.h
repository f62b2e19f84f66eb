// What the shell needs of the operating system. All texts are UTF-8; whoever gets one frees it.

#ifndef CURFEW_HOST_H
#define CURFEW_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kind { KIND_FILE, KIND_DIRECTORY, KIND_OTHER };

struct found {
  enum kind kind;
  uint32_t uid;
  uint32_t mode;
  // Of a regular file that is not longer than what was asked for; else NULL.
  char *content;
  size_t length;
};

// Without the program's own name.
char **host_arguments(int argc, char **argv);
// `NAME=value`, NULL at the end.
char **host_environment(void);
// False where the system has none.
bool host_uid(uint32_t *uid);
// As TerminalState of machine.ts.
const char *host_terminal(void);
extern const char *const host_system;

// Of whoever called: its process id and, where the system says so, when it began. False where that is not known, or it reads
// our stderr itself.
bool host_caller(char *text, size_t size);

// 0, or the errno of what went wrong.
int host_lstat(const char *path, struct found *found);
int host_read(const char *path, size_t most, bool follow, struct found *found);

// Replaces a small file of ours as a whole, or does nothing.
void host_replace(const char *path, const char *text, size_t length);
// All of it, or false.
bool host_write(int fd, const char *text, size_t length);
// Runs `node program ARGUMENTS` without a terminal, which nobody waits for, unless another does it or tried it a moment ago. `file`
// says so; it is locked as long as that runs. Where the system has no fork, nothing is done.
void host_leave_behind(const char *file, const char *node, const char *program, char **arguments);
// The absolute path of this very program, or NULL.
char *host_self(void);
// Becomes `node program ARGUMENTS`; returns only when that cannot be started. Where there is no exec it waits, and exits as that did.
void host_become(const char *node, const char *program, char **arguments);

#endif

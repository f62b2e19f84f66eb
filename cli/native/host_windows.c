// The operating system as Windows has it. Built, never run by our tests.

#include <errno.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>
#include <shellapi.h>

#include "host.h"

const char *const host_system = "windows";

static char *narrow(const wchar_t *wide) {
  int size = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
  char *text = malloc((size_t)(size > 0 ? size : 1));
  if (!text) abort();
  if (size > 0) WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size, NULL, NULL);
  else *text = 0;
  return text;
}

static wchar_t *widen(const char *text) {
  int size = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
  wchar_t *wide = calloc((size_t)(size > 0 ? size : 1), sizeof *wide);
  if (!wide) abort();
  if (size > 0) MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, size);
  return wide;
}

char **host_arguments(int argc, char **argv) {
  (void)argc, (void)argv;
  int count = 0;
  wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &count);
  char **list = calloc((size_t)count + 1, sizeof *list);
  if (!list || !wide) abort();
  for (int i = 1; i < count; i++) list[i - 1] = narrow(wide[i]);
  return list;
}

// Names are upper case here: to Windows they are the same however they are written.
char **host_environment(void) {
  wchar_t *block = GetEnvironmentStringsW();
  size_t count = 0;
  for (wchar_t *at = block; *at; at += wcslen(at) + 1) count++;
  char **list = calloc(count + 1, sizeof *list);
  if (!list) abort();
  size_t i = 0;
  for (wchar_t *at = block; *at; at += wcslen(at) + 1) {
    list[i] = narrow(at);
    for (char *c = list[i]; *c && *c != '='; c++)
      if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 32);
    i++;
  }
  return list;
}

bool host_uid(uint32_t *uid) {
  (void)uid;
  return false;
}

// Not whether a full-screen program has it: nobody has tried this there.
const char *host_terminal(void) { return _isatty(2) ? "lines" : "none"; }

// So there is nothing to replace either: a file does not show whose it is.
bool host_caller(char *text, size_t size) {
  (void)text, (void)size;
  return false;
}

void host_replace(const char *path, const char *text, size_t length) { (void)path, (void)text, (void)length; }

void host_leave_behind(const char *file, const char *node, const char *program, char **arguments) {
  (void)file, (void)node, (void)program, (void)arguments;
}

static int fault_of(DWORD error) {
  switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME: return ENOENT;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION: return EACCES;
    default: return EIO;
  }
}

static enum kind kind_of(DWORD attributes) {
  if (attributes & FILE_ATTRIBUTE_REPARSE_POINT) return KIND_OTHER;
  return attributes & FILE_ATTRIBUTE_DIRECTORY ? KIND_DIRECTORY : KIND_FILE;
}

int host_lstat(const char *path, struct found *found) {
  wchar_t *wide = widen(path);
  DWORD attributes = GetFileAttributesW(wide);
  int fault = attributes == INVALID_FILE_ATTRIBUTES ? fault_of(GetLastError()) : 0;
  free(wide);
  if (!fault) found->kind = kind_of(attributes);
  return fault;
}

int host_read(const char *path, size_t most, bool follow, struct found *found) {
  wchar_t *wide = widen(path);
  DWORD flags = FILE_FLAG_BACKUP_SEMANTICS | (follow ? 0 : FILE_FLAG_OPEN_REPARSE_POINT);
  DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  HANDLE file = CreateFileW(wide, GENERIC_READ, share, NULL, OPEN_EXISTING, flags, NULL);
  free(wide);
  if (file == INVALID_HANDLE_VALUE) return fault_of(GetLastError());
  BY_HANDLE_FILE_INFORMATION information;
  int fault = GetFileInformationByHandle(file, &information) ? 0 : EIO;
  if (!fault && !follow && information.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) fault = ELOOP;
  if (!fault) found->kind = GetFileType(file) == FILE_TYPE_DISK ? kind_of(information.dwFileAttributes) : KIND_OTHER;
  uint64_t size = ((uint64_t)information.nFileSizeHigh << 32) | information.nFileSizeLow;
  if (!fault && found->kind == KIND_FILE && size <= most) {
    found->content = malloc((size_t)size + 1);
    if (!found->content) abort();
    while (!fault && found->length < size) {
      DWORD got = 0;
      if (!ReadFile(file, found->content + found->length, (DWORD)(size - found->length), &got, NULL)) fault = EIO;
      if (got == 0) break;
      found->length += got;
    }
    found->content[found->length] = 0;
  }
  CloseHandle(file);
  return fault;
}

bool host_write(int fd, const char *text, size_t length) {
  HANDLE out = GetStdHandle(fd == 1 ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE);
  while (length > 0) {
    DWORD wrote = 0;
    if (!WriteFile(out, text, (DWORD)length, &wrote, NULL)) return false;
    text += wrote;
    length -= wrote;
  }
  return true;
}

char *host_self(void) {
  wchar_t name[32768];
  DWORD length = GetModuleFileNameW(NULL, name, 32768);
  return length == 0 || length >= 32768 ? NULL : narrow(name);
}

// What follows the program's own name in the command line, as it was written.
static const wchar_t *rest_of_command_line(void) {
  const wchar_t *at = GetCommandLineW();
  bool quoted = false;
  for (; *at && (quoted || (*at != L' ' && *at != L'\t')); at++)
    if (*at == L'"') quoted = !quoted;
  return at;
}

void host_become(const char *node, const char *program, char **arguments) {
  (void)arguments;
  wchar_t *wide_node = widen(node), *wide_program = widen(program);
  const wchar_t *rest = rest_of_command_line();
  size_t size = wcslen(wide_node) + wcslen(wide_program) + wcslen(rest) + 8;
  wchar_t *line = calloc(size, sizeof *line);
  if (!line) abort();
  _snwprintf(line, size, L"\"%ls\" \"%ls\"%ls", wide_node, wide_program, rest);
  // Whoever wrote a kubeconfig also chose the environment: no more is run than this.
  SetEnvironmentVariableW(L"NODE_OPTIONS", NULL);
  SetEnvironmentVariableW(L"NODE_PATH", NULL);
  STARTUPINFOW startup = {.cb = sizeof startup};
  PROCESS_INFORMATION child;
  if (!CreateProcessW(wide_node, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &child)) return;
  // Ctrl-C is the child's: it decides how to end, and we end as it did.
  SetConsoleCtrlHandler(NULL, TRUE);
  WaitForSingleObject(child.hProcess, INFINITE);
  DWORD status = 1;
  GetExitCodeProcess(child.hProcess, &status);
  ExitProcess(status);
}

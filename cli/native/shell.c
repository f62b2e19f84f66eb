// The small program that kubectl runs: a clock, files and outputs around the warm path of the plugin, which is TypeScript
// and decides alone. What it does not answer, the full program on Node.js does, in this program's place.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host.h"
#include "quickjs.h"

// The TypeScript as bytecode: `const uint8_t program[]`, made by compile.c.
#include "program.h"

enum { EXIT_UNAVAILABLE = 69, EXIT_CONFIGURATION = 78 };

static void set(JSContext *js, JSValue object, const char *name, JSValue value) {
  JS_SetPropertyStr(js, object, name, value);
}

static JSValue texts(JSContext *js, char **list) {
  JSValue array = JS_NewArray(js);
  for (uint32_t i = 0; list[i]; i++) JS_SetPropertyUint32(js, array, i, JS_NewString(js, list[i]));
  return array;
}

static JSValue environment(JSContext *js, char **list) {
  JSValue object = JS_NewObject(js);
  for (; *list; list++) {
    char *equals = strchr(*list, '=');
    if (!equals) continue;
    JSAtom name = JS_NewAtomLen(js, *list, (size_t)(equals - *list));
    JS_DefinePropertyValue(js, object, name, JS_NewString(js, equals + 1), JS_PROP_C_W_E);
    JS_FreeAtom(js, name);
  }
  return object;
}

static JSValue stat_of(JSContext *js, const struct found *found) {
  static const char *const kinds[] = {"file", "directory", "other"};
  JSValue stat = JS_NewObject(js);
  set(js, stat, "kind", JS_NewString(js, kinds[found->kind]));
  set(js, stat, "uid", JS_NewUint32(js, found->uid));
  set(js, stat, "mode", JS_NewUint32(js, found->mode));
  return stat;
}

static const char *name_of(int fault) {
  switch (fault) {
    case ENOENT: return "ENOENT";
    case ELOOP: return "ELOOP";
    case EACCES: return "EACCES";
    case ENOTDIR: return "ENOTDIR";
    default: return "EIO";
  }
}

static JSValue js_lstat(JSContext *js, JSValueConst self, int count, JSValueConst *values) {
  (void)self, (void)count;
  const char *path = JS_ToCString(js, values[0]);
  if (!path) return JS_EXCEPTION;
  struct found found = {0};
  int fault = host_lstat(path, &found);
  JS_FreeCString(js, path);
  if (fault == ENOENT || fault == ENOTDIR) return JS_UNDEFINED;
  return fault ? JS_ThrowInternalError(js, "%s", name_of(fault)) : stat_of(js, &found);
}

static JSValue js_read(JSContext *js, JSValueConst self, int count, JSValueConst *values) {
  (void)self, (void)count;
  int64_t most;
  if (JS_ToInt64(js, &most, values[1]) || most < 0) return JS_ThrowTypeError(js, "most");
  const char *path = JS_ToCString(js, values[0]);
  if (!path) return JS_EXCEPTION;
  struct found found = {0};
  int fault = host_read(path, (size_t)most, JS_ToBool(js, values[2]) == 1, &found);
  JS_FreeCString(js, path);
  JSValue opened = JS_NewObject(js);
  if (fault) {
    set(js, opened, "fault", JS_NewString(js, name_of(fault)));
    return opened;
  }
  set(js, opened, "stat", stat_of(js, &found));
  if (found.content) set(js, opened, "content", JS_NewStringLen(js, found.content, found.length));
  free(found.content);
  return opened;
}

// As cache/checksum.ts.
static JSValue js_checksum(JSContext *js, JSValueConst self, int count, JSValueConst *values) {
  (void)self, (void)count;
  size_t length;
  const char *text = JS_ToCStringLen(js, &length, values[0]);
  if (!text) return JS_EXCEPTION;
  uint32_t a = 0x811c9dc5, b = 0x01000193;
  for (size_t i = 0; i < length; i++) {
    a = (a ^ (uint8_t)text[i]) * 0x01000193u;
    b = (b + (uint8_t)text[i]) * 0x85ebca6bu;
    b ^= b >> 13;
  }
  JS_FreeCString(js, text);
  char sum[17];
  snprintf(sum, sizeof sum, "%08x%08x", a, b);
  return JS_NewString(js, sum);
}

static JSValue js_caller(JSContext *js, JSValueConst self, int count, JSValueConst *values) {
  (void)self, (void)count, (void)values;
  char process[64];
  struct timespec now;
  if (!host_caller(process, sizeof process) || !timespec_get(&now, TIME_UTC)) return JS_UNDEFINED;
  JSValue caller = JS_NewObject(js);
  set(js, caller, "process", JS_NewString(js, process));
  set(js, caller, "at", JS_NewInt64(js, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000));
  return caller;
}

static JSValue machine(JSContext *js, char **arguments) {
  JSValue files = JS_NewObject(js);
  set(js, files, "lstat", JS_NewCFunction(js, js_lstat, "lstat", 1));
  set(js, files, "read", JS_NewCFunction(js, js_read, "read", 3));
  set(js, files, "checksum", JS_NewCFunction(js, js_checksum, "checksum", 1));
  JSValue object = JS_NewObject(js);
  uint32_t uid;
  set(js, object, "files", files);
  set(js, object, "args", texts(js, arguments));
  set(js, object, "env", environment(js, host_environment()));
  set(js, object, "uid", host_uid(&uid) ? JS_NewUint32(js, uid) : JS_UNDEFINED);
  set(js, object, "now", JS_NewInt64(js, (int64_t)time(NULL)));
  set(js, object, "system", JS_NewString(js, host_system));
  set(js, object, "runtime", JS_NewString(js, "native"));
  set(js, object, "caller", JS_NewCFunction(js, js_caller, "caller", 0));
  set(js, object, "terminal", JS_NewString(js, host_terminal()));
  return object;
}

static bool print(JSContext *js, JSValue answer, const char *name, int fd) {
  JSValue value = JS_GetPropertyStr(js, answer, name);
  size_t length;
  const char *text = JS_ToCStringLen(js, &length, value);
  return text && host_write(fd, text, length);
}

static void leave(JSContext *js, JSValue note) {
  if (JS_IsUndefined(note)) return;
  size_t length;
  const char *file = JS_ToCString(js, JS_GetPropertyStr(js, note, "file"));
  const char *content = JS_ToCStringLen(js, &length, JS_GetPropertyStr(js, note, "content"));
  if (file && content) host_replace(file, content, length);
}

static int fail(const char *what, const char *path) {
  fprintf(stderr, "curfew: error: %s%s\ncurfew: hint: run: kubectl-curfew setup, of an installed kubectl-curfew\n", what, path);
  return EXIT_CONFIGURATION;
}

// Whether others than this program's own user could have put there what is to be run. Its owner is who set it up, or root.
static bool is_open(const char *self, const char *file) {
  uint32_t uid;
  struct found own = {0}, found = {0};
  if (!host_uid(&uid)) return false;
  if (host_read(self, 0, true, &own) || host_read(file, 0, true, &found)) return true;
  return (found.uid != own.uid && found.uid != 0) || (found.mode & 2) != 0;
}

struct full {
  const char *node, *program;
  // What a fault is about.
  const char *about;
};

// A path as it is; one that begins with ./ from this program's own folder, so that a tree may be unpacked anywhere.
static char *from_folder(const char *folder, char *path) {
  if (!folder || !path || strncmp(path, "./", 2) != 0) return path;
  size_t size = strlen(folder) + strlen(path + 2) + 1;
  char *whole = malloc(size);
  if (!whole) abort();
  snprintf(whole, size, "%s%s", folder, path + 2);
  return whole;
}

// Beside this program stand, a line each, the paths of Node.js and of the full program, as `setup` wrote them or as they are in what
// is published. Returns what is wrong with them, or NULL.
static const char *find_full(struct full *full) {
  *full = (struct full){.about = ""};
  char *self = host_self();
  if (!self) return "the place of this program is not known";
  size_t size = strlen(self) + sizeof ".full";
  char *file = malloc(size);
  if (!file) abort();
  snprintf(file, size, "%s.full", self);
  full->about = file;
  struct found found = {0};
  if (host_read(file, 65536, true, &found) || !found.content) return "the full program is not known: no ";
  if (is_open(self, file)) return "others can change what this program starts: ";
  char *slash = strrchr(self, '/');
  char *folder = slash ? strndup(self, (size_t)(slash - self) + 1) : NULL;
  if (folder && is_open(self, folder)) {
    full->about = folder;
    return "others can change what this program starts: ";
  }
  char *node = from_folder(folder, strtok(found.content, "\r\n"));
  char *program = from_folder(folder, strtok(NULL, "\r\n"));
  if (!node || !program) return "the full program is not known: nothing usable in ";
  // An upgrade of Node.js, or a package that was removed: said here, as nobody else would.
  struct found file_of_program = {0}, runtime = {0};
  full->about = node;
  if (host_read(node, 0, true, &runtime) || runtime.kind != KIND_FILE) return "Node.js is gone: no ";
  full->about = program;
  if (host_read(program, 0, true, &file_of_program) || file_of_program.kind != KIND_FILE)
    return "the full program is gone: no ";
  full->node = node;
  full->program = program;
  return NULL;
}

// Once the answer is written. What goes wrong here is nobody's to hear: the call has what it came for.
static void leave_renewal(JSContext *js, JSValue renewal) {
  if (JS_IsUndefined(renewal)) return;
  const char *file = JS_ToCString(js, JS_GetPropertyStr(js, renewal, "file"));
  JSValue list = JS_GetPropertyStr(js, renewal, "args");
  int64_t count;
  struct full full;
  if (!file || JS_GetLength(js, list, &count) || count < 0 || count > 64 || find_full(&full)) return;
  char **words = calloc((size_t)count + 1, sizeof *words);
  if (!words) abort();
  for (int64_t i = 0; i < count; i++) {
    words[i] = (char *)JS_ToCString(js, JS_GetPropertyUint32(js, list, (uint32_t)i));
    if (!words[i]) return;
  }
  host_leave_behind(file, full.node, full.program, words);
}

// The exit status, or -1 when the answer is not here. Nothing is freed: the process ends.
static int answer(char **arguments) {
  JSRuntime *runtime = JS_NewRuntime();
  JSContext *js = runtime ? JS_NewContextRaw(runtime) : NULL;
  if (!js || JS_AddIntrinsicBaseObjects(js) || JS_AddIntrinsicDate(js) || JS_AddIntrinsicRegExp(js) ||
      JS_AddIntrinsicJSON(js) || JS_AddIntrinsicMapSet(js))
    return -1;
  JSValue code = JS_ReadObject(js, program, sizeof program, JS_READ_OBJ_BYTECODE);
  if (JS_IsException(code) || JS_IsException(JS_EvalFunction(js, code))) return -1;
  JSValue global = JS_GetGlobalObject(js);
  JSValue function = JS_GetPropertyStr(js, global, "answerFor");
  JSValue asked = machine(js, arguments);
  JSValue answered = JS_Call(js, function, global, 1, &asked);
  if (!JS_IsObject(answered)) return -1;
  int32_t exit_status;
  JSValue status = JS_GetPropertyStr(js, answered, "exit");
  if (JS_ToInt32(js, &exit_status, status) || exit_status < 0) return -1;
  // Stopped since it was decided, or the clock was set: what is over by now is not printed.
  int64_t until;
  JSValue good = JS_GetPropertyStr(js, answered, "until");
  if (!JS_IsUndefined(good) && (JS_ToInt64(js, &until, good) || (int64_t)time(NULL) >= until)) return -1;
  if (!print(js, answered, "stdout", 1)) {
    // As warm/unwritten.ts.
    fputs("curfew: error: the answer cannot be written\ncurfew: hint: what reads it has ended, or has no space left: try again\n", stderr);
    return EXIT_UNAVAILABLE;
  }
  // Nobody reads our words any more: that is not a reason to fail.
  print(js, answered, "stderr", 2);
  leave(js, JS_GetPropertyStr(js, answered, "note"));
  leave_renewal(js, JS_GetPropertyStr(js, answered, "renewal"));
  return exit_status;
}

static int hand_over(char **arguments) {
  struct full full;
  const char *fault = find_full(&full);
  if (fault) return fail(fault, full.about);
  host_become(full.node, full.program, arguments);
  return fail("the full program cannot be started: ", full.node);
}

int main(int argc, char **argv) {
  char **arguments = host_arguments(argc, argv);
  int status = answer(arguments);
  return status < 0 ? hand_over(arguments) : status;
}

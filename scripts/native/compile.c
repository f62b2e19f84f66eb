// Turns a script into bytecode as a C header: compile SCRIPT HEADER. Runs where the build runs.

#include <stdio.h>

#include "quickjs.h"
#include "read_all.h"

static int fail(const char *what, const char *name) {
  fprintf(stderr, "compile: %s %s\n", what, name);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 3) return fail("usage:", "compile SCRIPT HEADER");
  FILE *in = fopen(argv[1], "rb");
  if (!in) return fail("cannot read", argv[1]);
  size_t size;
  char *text = read_all(in, &size);
  JSContext *js = JS_NewContext(JS_NewRuntime());
  JSValue code = JS_Eval(js, text, size, "kubectl-curfew", JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY);
  if (JS_IsException(code)) return fail(JS_ToCString(js, JS_GetException(js)), argv[1]);
  size_t length;
  uint8_t *bytes = JS_WriteObject(js, &length, code, JS_WRITE_OBJ_BYTECODE | JS_WRITE_OBJ_STRIP_SOURCE | JS_WRITE_OBJ_STRIP_DEBUG);
  FILE *out = bytes ? fopen(argv[2], "wb") : NULL;
  if (!out) return fail("cannot write", argv[2]);
  fprintf(out, "static const uint8_t program[%zu] = {", length);
  for (size_t i = 0; i < length; i++) fprintf(out, "%s%u", i ? "," : "", bytes[i]);
  fprintf(out, "};\n");
  return fclose(out) ? fail("cannot write", argv[2]) : 0;
}

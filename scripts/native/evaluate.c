// Runs a script on the native program's engine, with no more than that has, and prints the text it leaves in `output`.

#include <stdio.h>

#include "quickjs.h"
#include "read_all.h"

int main(void) {
  size_t size;
  char *text = read_all(stdin, &size);
  JSContext *js = JS_NewContextRaw(JS_NewRuntime());
  JS_AddIntrinsicBaseObjects(js);
  JS_AddIntrinsicDate(js);
  JS_AddIntrinsicRegExp(js);
  JS_AddIntrinsicJSON(js);
  JS_AddIntrinsicMapSet(js);
  // The shell gets bytecode and needs no compiler; here there is nothing else.
  JS_AddIntrinsicEval(js);
  JS_AddIntrinsicRegExpCompiler(js);
  if (JS_IsException(JS_Eval(js, text, size, "script", JS_EVAL_TYPE_GLOBAL))) {
    fprintf(stderr, "%s\n", JS_ToCString(js, JS_GetException(js)));
    return 1;
  }
  JSValue output = JS_GetPropertyStr(js, JS_GetGlobalObject(js), "output");
  return fputs(JS_ToCString(js, output), stdout) < 0;
}

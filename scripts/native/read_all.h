// All that a file holds, as a text that ends with a zero byte.

#include <stdio.h>
#include <stdlib.h>

static char *read_all(FILE *in, size_t *size) {
  char *text = NULL;
  *size = 0;
  for (size_t got = 1; got > 0; *size += got) {
    text = realloc(text, *size + 65537);
    if (!text) abort();
    got = fread(text + *size, 1, 65536, in);
  }
  text[*size] = 0;
  return text;
}

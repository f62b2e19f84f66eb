// Where Node.js keeps what it compiled, for programs that tests start with an environment of their own. Not for the plugin: that
// runs as it does for a person.

/** @returns a variable to set, when these tests run with such a cache */
export function compileCache(): { readonly NODE_COMPILE_CACHE?: string } {
  const { NODE_COMPILE_CACHE } = process.env;
  return NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE };
}

// Preloaded into a program: writes what the program itself asks for by `require` or `import` to the file that
// RECORD_MODULES names, as a JSON array, when the program ends.

import { writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

const asked: string[] = [];

registerHooks({
  resolve(specifier, context, next) {
    asked.push(specifier);
    return next(specifier, context);
  },
});

process.once('exit', () => writeFileSync(process.env.RECORD_MODULES ?? '', JSON.stringify(asked)));

// docs/screens.md shows what a person sees now.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { captureScreens } from '../screens/capture.ts';
import { pageOf } from '../screens/page.ts';

test('docs/screens.md is what the real programs show', async () => {
  const file = path.resolve(import.meta.dirname, '../../docs/screens.md');
  const { screens, replace } = await captureScreens(() => undefined);
  assert.ok(screens.length >= 10);
  assert.equal(pageOf(screens, replace), readFileSync(file, 'utf8'), 'make it anew: npm run screens');
});

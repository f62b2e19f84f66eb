// `npm run screens`: writes docs/screens.md from the real programs.

import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { captureScreens } from './capture.ts';
import { pageOf } from './page.ts';

const file = path.resolve(import.meta.dirname, '../../docs/screens.md');
const { screens, replace } = await captureScreens((line) => console.error(line));
await writeFile(file, pageOf(screens, replace));
console.log(file);
process.exit();

// The targets with all that they run of our own, bundled with counters in every module of the product.

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin, transform } from 'esbuild';
import { ROOT } from '../runner.ts';
import { Coverage } from './coverage.ts';
import { instrument, NAMES } from './instrument.ts';
import type { Targets } from './target.ts';

/** A bug that is put into a module, to see that it is found. */
export interface Plant {
  /** From the root. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export interface Loaded {
  readonly targets: Targets;
  readonly coverage: Coverage;
  readonly words: readonly string[];
}

const OURS = /\/(?:shared|serving|broker|cli|gateway)\/[^?]*\.ts$/;
/** Packages are found from there, and nothing there is committed. */
const FOLDER = path.join(ROOT, 'node_modules', '.cache', 'curfew-fuzz');
/** Where a bundle finds its counters as it is loaded. */
const GLOBAL = '__curfew_fuzz';

/** @param plants what is changed in the sources, in the bundle alone */
export async function loadTargets(plants: readonly Plant[] = []): Promise<Loaded> {
  const counters = new Counters(plants);
  const bundle = path.join(FOLDER, `targets-${randomBytes(8).toString('hex')}.mjs`);
  await mkdir(FOLDER, { recursive: true });
  try {
    await build({
      ...{ absWorkingDir: ROOT, entryPoints: ['test/fuzz/targets.ts'], outfile: bundle, bundle: true, format: 'esm' },
      ...{ platform: 'node', target: 'node24', packages: 'external', plugins: [counters.plugin], logLevel: 'error' },
    });
    const coverage = new Coverage(counters.count);
    Object.assign(globalThis, { [GLOBAL]: { hit: coverage.counters, same: coverage.same } });
    const { targets }: { targets: Targets } = await import(pathToFileURL(bundle).href);
    return { targets, coverage, words: [...counters.words] };
  } finally {
    Reflect.deleteProperty(globalThis, GLOBAL);
    await rm(bundle, { force: true });
  }
}

class Counters {
  readonly #plants: readonly Plant[];
  count = 0;
  readonly words = new Set<string>();

  constructor(plants: readonly Plant[]) {
    this.#plants = plants;
  }

  get plugin(): Plugin {
    return {
      name: 'counters',
      setup: ({ onLoad }) => {
        onLoad({ filter: OURS }, async ({ path: file }) => {
          const place = path.relative(ROOT, file);
          return /^(test|node_modules)\//.test(place) ? undefined : { contents: await this.#read(place), loader: 'js' };
        });
      },
    };
  }

  async #read(place: string): Promise<string> {
    let source = await readFile(path.join(ROOT, place), 'utf8');
    for (const { file, from, to } of this.#plants) {
      if (file !== place) continue;
      if (!source.includes(from)) throw new Error(`${file} does not have ${from}`);
      source = source.replace(from, () => to);
    }
    const { code } = await transform(source, { loader: 'ts', format: 'esm', target: 'node24' });
    const made = instrument(code);
    const begin = this.count;
    this.count += made.count;
    for (const word of made.words) this.words.add(word);
    const head = `const ${NAMES.hit} = globalThis.${GLOBAL}.hit.subarray(${begin}), ${NAMES.same} = globalThis.${GLOBAL}.same;`;
    return `${head}\n${made.code}`;
  }
}

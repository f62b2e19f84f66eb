// The walk over faults must itself be seen to fail: brokers with a fault planted in them, which it names.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { chanceOf } from '../support/chance.ts';
import { until } from '../support/patience.ts';
import { buildVariant, type Edits } from '../support/variant.ts';
import { startWalk, type Walk } from '../support/walk.ts';
import { makeWalkSite } from '../support/walk_site.ts';
import type { Step } from '../support/walk_step.ts';

const PEOPLE = 4;
/** Until it is found. */
const MOST = 6;

interface Planted {
  readonly edits: Edits;
  /** Under what it shows; nothing where it shows by itself. */
  readonly fault?: string;
  readonly found: RegExp;
}

const PLANTED: Readonly<Record<string, Planted>> = {
  'an acknowledged end that is forgotten': {
    edits: { 'broker/grants/revocation.ts': [[/(?=await endSession\(transaction)/, 'if (Number(at) < 0) ']] },
    found: /: a token after the acknowledged end$/m,
  },
  'a row of the audit log that is lost': {
    edits: {
      'broker/store/sqlite_store.ts': [
        [/(?=await db\.executeQuery\(CompiledQuery\.raw\(INSERT_AUDIT)/, "if (event.event !== 'end') "],
      ],
    },
    found: /^audit verify: 78 [\s\S]*: no row of its end$/m,
  },
  'a token that is signed before its commit': {
    edits: {
      'broker/store/sqlite_store.ts': [[/(?<=const result = await work\(\{[\s\S]*?\n {10}\}\);)/, ' resolve(result);']],
    },
    fault: 'no write is taken',
    found: /: no row of its token$/m,
  },
  'a sync that is left out': {
    edits: { 'broker/store/sqlite.ts': [[/pragma synchronous = full/, 'pragma synchronous = off']] },
    fault: 'power cut',
    // The disk may have none of it: then the store is not the one that these people know.
    found:
      /: (?:an acknowledged session is lost|a token after the acknowledged end|a login is refused|no row of its \w+|an end is refused \(\w+\))/,
  },
};

describe('a walk over faults names what is planted', { concurrency: 2 }, () => {
  for (const [name, { edits, fault, found }] of Object.entries(PLANTED))
    test(`a walk over faults names ${name}`, async (context) => {
      const folder = await mkdtemp(path.join(tmpdir(), 'curfew-planted-'));
      context.after(() => rm(folder, { recursive: true }));
      const program = await buildVariant(edits, path.join(folder, 'broker.cjs'));
      // The witness would tell of what was lost before anybody notices it.
      const sections = { store: { sqlite: { file: 'curfew.db' }, witness_file: false } };
      const site = await makeWalkSite('sqlite', { program, sections });
      context.after(site.remove);
      const walk = await startWalk(site, chanceOf(name, 1), PEOPLE);
      context.after(walk.abandon);
      await until(() => walk.people.facts.ended.length > 5 || walk.faults.length > 0, 'nothing is acknowledged');
      if (fault !== undefined) await take(walk, fault);
      const faults = (await walk.end()).join('\n');
      context.diagnostic(found.exec(faults)?.[0] ?? faults.slice(0, 2_000));
      assert.match(faults, found);
    });
});

async function take(walk: Walk, fault: string): Promise<void> {
  for (let n = 0; n < MOST && walk.faults.length === 0; n++) {
    const step: Step = { fault, replica: 0, pause_ms: 300, hold_ms: 1_000, seed: n };
    await walk.take([step], () => undefined);
  }
}

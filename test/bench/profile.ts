// Where the broker's time goes: V8's sampling profiler on its process, and the functions that cost most by themselves.

import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Settings } from './figure.ts';

export interface Profiling {
  /** For the process that is looked at. */
  readonly env: Readonly<Record<string, string>>;
  /** Says what it found, once that process has ended. */
  report(): Promise<void>;
}

const SHOWN = 30;

export function profiling({ profile, log }: Settings, name: string): Profiling {
  if (profile === undefined) return { env: {}, report: async () => undefined };
  const folder = path.resolve(profile, name);
  return {
    env: { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${folder}` },
    async report() {
      await mkdir(folder, { recursive: true });
      const newest = (await readdir(folder)).sort().at(-1);
      if (newest === undefined) throw new Error(`no profile was written to ${folder}`);
      const file = path.join(folder, newest);
      log(`profile: ${file}`);
      for (const line of topOf(JSON.parse(await readFile(file, 'utf8')))) log(line);
    },
  };
}

interface Profile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: Frame }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface Frame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
  readonly columnNumber: number;
}

/** Shares of the time in which it did anything. */
function topOf({ nodes, samples, timeDeltas }: Profile): string[] {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const self = new Map<string, number>();
  samples.forEach((id, index) => {
    const frame = frames.get(id);
    if (!frame || frame.functionName === '(idle)') return;
    const name = nameOf(frame);
    self.set(name, (self.get(name) ?? 0) + (timeDeltas[index] ?? 0));
  });
  const busy = [...self.values()].reduce((sum, time) => sum + time, 0);
  const top = [...self].sort(([, a], [, b]) => b - a).slice(0, SHOWN);
  return top.map(([name, time]) => `${((time / busy) * 100).toFixed(1).padStart(6)} %  ${name}`);
}

function nameOf({ functionName, url, lineNumber, columnNumber }: Frame): string {
  const place = url === '' ? '' : ` ${path.basename(url)}:${lineNumber + 1}:${columnNumber + 1}`;
  return `${functionName || '(anonymous)'}${place}`;
}

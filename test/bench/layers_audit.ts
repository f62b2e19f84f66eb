// `layers audit` on 10,000 objects in 100 files, of which one in five is not as it should be: the whole process, time and memory.

import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { writeBrokerConfig } from '../broker/layers_config.ts';
import { manyManifests } from '../broker/many_manifests.ts';
import type { Bench } from './figure.ts';
import { median } from './statistics.ts';

const TIME = 'layers.audit.10000_objects.s';
const MEMORY = 'layers.audit.10000_objects.mib';
const OBJECTS = 10_000;
const FILES = 100;
const ROUNDS = 5;

export const layersAudit: Bench = {
  figures: [
    {
      ...{ name: TIME, unit: 's', aim: { at_most: 10 } },
      says: '`layers audit` on 10,000 objects in 100 files, one in five with findings, whole process, median',
    },
    { name: MEMORY, unit: 'MiB', aim: { at_most: 300 }, says: 'its largest resident memory, the most of all runs' },
  ],
  async run({ folder: parent, quick, log }) {
    const folder = await mkdtemp(path.join(parent, 'layers-'));
    const { broker } = await buildBundles();
    const config = path.join(folder, 'curfew-broker.yaml');
    writeBrokerConfig(config);
    const manifests = path.join(folder, 'manifests');
    await mkdir(manifests);
    const texts = manyManifests(OBJECTS, FILES);
    await Promise.all(texts.map((text, i) => writeFile(path.join(manifests, `${i}.yaml`), text)));
    const measure = path.join(folder, 'measure.cjs');
    await writeFile(measure, `process.on('exit', () => console.error('maxrss', process.resourceUsage().maxRSS));`);
    const times: number[] = [];
    const sizes: number[] = [];
    for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
      const start = performance.now();
      const args = [
        '--require',
        measure,
        broker,
        'layers',
        'audit',
        '--config',
        config,
        '--cluster',
        'prod',
        manifests,
      ];
      const { code, stdout, stderr } = await run(process.execPath, args, { env: { PATH: process.env.PATH ?? '' } });
      times.push((performance.now() - start) / 1000);
      if (code !== 1) throw new Error(`ended with ${code}: ${stderr}`);
      const [, judged] = / findings in (\d+) objects /.exec(stdout) ?? [];
      if (Number(judged) !== OBJECTS) throw new Error(`judged ${judged}`);
      sizes.push(Number(/maxrss (\d+)/.exec(stderr)?.[1]) / 1024);
    }
    log(
      `${OBJECTS} objects: ${times.map((one) => one.toFixed(2)).join(' ')} s; ${sizes.map((one) => one.toFixed(0)).join(' ')} MiB`,
    );
    return { [TIME]: median(times), [MEMORY]: Math.max(...sizes) };
  },
};

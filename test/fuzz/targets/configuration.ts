// Configurations of broker and gateway, and conditions of rules: every text is taken or refused with words, and soon.

import assert from 'node:assert/strict';
import { stringify } from 'yaml';
import { faultsOf } from '../../../broker/config/consistency.ts';
import { parseSections } from '../../../broker/config/schema.ts';
import { parseCondition } from '../../../broker/rules/condition.ts';
import { loadSettings } from '../../../gateway/config/load.ts';
import { parseYaml } from '../../../serving/config/yaml.ts';
import { isObject } from '../../../shared/wire.ts';
import { SETTINGS } from '../../broker/config_files.ts';
import { refusableLater, type Targets, textOf } from '../target.ts';

const RULES = {
  rules: [
    { name: 'sre', when: '"sre" in user.groups', limits: { max_age: '15m' }, match: { clusters: ['prod-*'] } },
    { name: 'far', when: '!inNetwork(request.address, "10.0.0.0/8")', deny: true },
  ],
};
const GATEWAY = {
  broker: { url: 'https://curfew.example.com', token_file: 'token' },
  cluster: 'prod-eu',
  listen: { address: '0.0.0.0', port: 6443, tls: { cert_file: 'tls.crt', key_file: 'tls.key' } },
  api_server: { url: 'https://10.0.0.1:6443' },
  ...{ other_credentials: 'refuse', on_lost_broker: { cut_after: '10s' } },
};
/** Milliseconds: everybody waits for that long. */
const LONGEST_MS = 1_000;

/** Each is a line of words. */
function checkFaults(faults: readonly string[]): void {
  for (const fault of faults) assert.match(fault, /^[^\n]+$/, 'not a line');
}

function checkBroker(text: string): void {
  const yaml = parseYaml(text);
  if ('faults' in yaml) {
    checkFaults(yaml.faults);
    return;
  }
  const { sections, faults } = parseSections(yaml.value);
  checkFaults([...faults, ...faultsOf(sections)]);
  if (faults.length > 0 || !isObject(yaml.value)) return;
  // The same settings in another spelling.
  const again = parseYaml(stringify(yaml.value, { version: '1.2', aliasDuplicateObjects: false }));
  assert.ok('value' in again, 'not read again');
  assert.equal(JSON.stringify(parseSections(again.value).sections), JSON.stringify(sections), 'another configuration');
}

export const configuration: Targets = {
  config: {
    seeds: [
      stringify(SETTINGS),
      stringify({ ...SETTINGS, policy: { ...SETTINGS.policy, ...RULES } }),
      JSON.stringify(SETTINGS),
    ],
    run(input) {
      const begin = performance.now();
      checkBroker(textOf(input));
      assert.ok(performance.now() - begin < LONGEST_MS, 'slow');
    },
  },
  gateway_config: {
    seeds: [stringify(GATEWAY), JSON.stringify(GATEWAY)],
    async run(input) {
      const text = textOf(input);
      const read = async (file: string) => {
        if (file === '/x/config.yaml') return { text, mode: 0o600 };
        throw new Error('no such file');
      };
      // What it names is not there: it is never taken, and always refused with words.
      assert.equal(await refusableLater(() => loadSettings('/x/config.yaml', read)), undefined);
    },
  },
  condition: {
    seeds: [
      ...['user.name == "alice" && "sre" in user.groups', 'cluster.labels["tier"] == "prod"'],
      ...['inNetwork(request.address, "10.0.0.0/8") || time.getHours("Europe/Berlin") < 6'],
      ...['user.groups.exists(g, g.startsWith("a"))', 'has(cluster.labels.x) ? true : false'],
    ],
    run(input) {
      const begin = performance.now();
      const condition = parseCondition(textOf(input));
      if (typeof condition === 'string') assert.match(condition, /./, 'refused without a word');
      assert.ok(performance.now() - begin < LONGEST_MS, 'slow');
    },
  },
};

// The table of the layers against the schemas of the projects' own CustomResourceDefinitions: each field that it names is there, is a text,
// and takes what is written in its unit; one that it says is refused is not there.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { nameOf, SWITCHES, TIMINGS } from '../../broker/layers_table/table.ts';
import { writeLength } from '../../broker/layers_table/units.ts';
import { seconds } from '../../shared/time.ts';
import { ensureCrds, fieldOf, type Schema, schemasIn } from '../support/layers/crds.ts';

/** Whose schemas are not to be had as a Go module, or are Kubernetes' own. */
const ELSEWHERE = ['k8s.nginx.org', 'linkerd.io', 'networking.k8s.io'];
/** Fields of the experimental channel: not in the schemas that are installed by default. */
const EXPERIMENTAL = ['spec.rules[].sessionPersistence.absoluteTimeout'];

let schemas: ReadonlyMap<string, readonly Schema[]>;
before(async () => {
  schemas = schemasIn(await ensureCrds());
});

function schemaOf(group: string, kind: string): readonly Schema[] {
  const found = schemas.get(`${group}/${kind}`);
  assert.ok(found && found.length > 0, `there is no ${group}/${kind}`);
  return found;
}

test('each field that bounds something is there, and takes a length in its unit', () => {
  let seen = 0;
  for (const { layer, place, unit } of TIMINGS) {
    if (place.in !== 'field' || ELSEWHERE.includes(place.group)) continue;
    for (const kind of place.kinds) {
      const fields: readonly (Schema | undefined)[] = schemaOf(place.group, kind).map((schema) =>
        fieldOf(schema, place.path),
      );
      const where: string = `${layer} ${kind} ${place.path}`;
      assert.equal(
        fields.some((field) => field !== undefined),
        !EXPERIMENTAL.includes(place.path),
        where,
      );
      for (const field of fields) {
        if (!field?.type) continue;
        assert.equal(field.type, 'string', where);
        if (field.pattern) assert.match(writeLength(unit, seconds(28_800)), new RegExp(field.pattern), where);
      }
      seen += 1;
    }
  }
  assert.ok(seen > 15, `${seen} fields`);
});

test('each field that takes a bound away is there, and one that is said to be ignored is not', () => {
  let seen = 0;
  for (const { layer, place, finding } of SWITCHES) {
    if (place.in !== 'field' || ELSEWHERE.includes(place.group)) continue;
    for (const kind of place.kinds) {
      const fields: readonly (Schema | undefined)[] = schemaOf(place.group, kind).map((schema) =>
        fieldOf(schema, place.path),
      );
      const there: boolean = fields.some((field) => field !== undefined);
      assert.equal(there, finding !== 'setting_ignored', `${layer} ${kind} ${nameOf(place)}`);
      seen += 1;
    }
  }
  assert.ok(seen > 5, `${seen} fields`);
});

test('a field that no project has is not found', () => {
  const [proxy] = schemaOf('projectcontour.io', 'HTTPProxy');
  assert.ok(proxy);
  assert.equal(fieldOf(proxy, 'spec.routes[].timeoutPolicy.idol'), undefined);
  assert.equal(fieldOf(proxy, 'spec.routes.timeoutPolicy.idle'), undefined);
});

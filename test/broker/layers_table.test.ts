// The table of the layers around: every length is read as its layer reads it and never guessed, and no row contradicts another.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CUTTERS, isLayer, LAYERS } from '../../broker/layers_table/layer.ts';
import { nameOf, SWITCHES, TIMINGS, tableOf, timingOf } from '../../broker/layers_table/table.ts';
import { readLength, UNITS, type Unit, writeLength } from '../../broker/layers_table/units.ts';
import { LONGEST } from '../../shared/duration.ts';
import { seconds } from '../../shared/time.ts';

/** What each unit reads, in milliseconds; `undefined` is refused. */
const READINGS: Readonly<Record<Unit, readonly (readonly [unknown, number | 'infinite' | undefined])[]>> = {
  bare_seconds: [
    ...([
      ['60', 60_000],
      [60, 60_000],
      ['0', 0],
      ['007', 7000],
    ] as const),
    ...(['60s', '1m', '', ' 60', '60 ', '-1', '1.5', '1e3', '６０', '60\n', '12345678901'] as const).map(refused),
  ],
  nginx_time: [
    ...([
      ['90', 90_000],
      ['5m', 300_000],
      ['1h 30m', 5_400_000],
      ['1h30m', 5_400_000],
      ['1h 30', 3_630_000],
    ] as const),
    ...([
      ['500ms', 500],
      ['1M', 30 * 86_400_000],
      ['1y', 365 * 86_400_000],
      ['0', 0],
      ['0s', 0],
      [90, 90_000],
    ] as const),
    ...(['1.5h', '5 m', '30m 1h', '1h1h', 's', '', '-1s', '$timeout', '1H', '5us'] as const).map(refused),
  ],
  haproxy_time: [
    ...([
      ['5000', 5000],
      [5000, 5000],
      ['5s', 5000],
      ['1h', 3_600_000],
      ['1d', 86_400_000],
      ['100us', 1],
      ['0', 0],
    ] as const),
    ...(['1h30m', '1.5h', '', 's', '5 s', '25d', '2147483648', '1w', '-1', '5S'] as const).map(refused),
  ],
  go_duration: [
    ...([
      ['1h30m', 5_400_000],
      ['1.5h', 5_400_000],
      ['0', 0],
      ['0s', 0],
      ['168h0m0s', 604_800_000],
      ['1ns', 1],
    ] as const),
    ...([
      ['.5s', 500],
      ['1.s', 1000],
      ['30m1h', 5_400_000],
    ] as const),
    ...(['90', 90, '1d', '', 's', '1h 30m', '-1h', '+1h', 'infinity', '1H', '9999999999999h'] as const).map(refused),
  ],
  traefik_duration: [
    ...([
      ['90', 90_000],
      [90, 90_000],
      ['1h30m', 5_400_000],
      ['0', 0],
    ] as const),
    ...(['1d', '', '1h 30m', 'infinity'] as const).map(refused),
  ],
  gateway_duration: [
    ...([
      ['1h', 3_600_000],
      ['1h30m', 5_400_000],
      ['500ms', 500],
      ['0s', 0],
      ['99999s', 99_999_000],
    ] as const),
    ...(['1.5h', '90', 90, '0', '1d', '', '100000s', '1h1m1s1ms1h'] as const).map(refused),
  ],
  protobuf_duration: [
    ...([
      ['300s', 300_000],
      ['0.5s', 500],
      ['0s', 0],
    ] as const),
    ...(['5m', '300', 300, '', 's', '-1s', '.5s', '1.s', '1.0000000001s'] as const).map(refused),
  ],
  contour_duration: [
    ...([
      ['5m', 300_000],
      ['infinity', 'infinite'],
      ['infinite', 'infinite'],
      ['0s', 0],
    ] as const),
    ...(['90', 'Infinity', 'never', ''] as const).map(refused),
  ],
  linkerd_duration: [
    ...([
      ['10s', 10_000],
      ['500ms', 500],
      ['1h', 3_600_000],
      ['1d', 86_400_000],
      ['0', 0],
    ] as const),
    ...(['10', 10, '1h30m', '1.5s', ''] as const).map(refused),
  ],
  nft_time: [
    ...([
      ['1d2h3m4s', 93_784_000],
      ['500ms', 500],
      ['90', 90_000],
      ['4h', 14_400_000],
    ] as const),
    ...(['2h1d', '1.5h', '', '1 h', '1w'] as const).map(refused),
  ],
  grpc_timeout: [
    ...([
      ['4000m', 4000],
      ['1H', 3_600_000],
      ['9S', 9000],
      ['1n', 1],
      ['0S', 0],
    ] as const),
    ...(['4000', '123456789S', '4s', '', 'S', '1.5S'] as const).map(refused),
  ],
};

function refused(text: unknown): readonly [unknown, undefined] {
  return [text, undefined];
}

describe('lengths', () => {
  for (const unit of Object.keys(UNITS) as Unit[]) {
    test(`Y2 ${unit}: is read as the layer reads it, and nothing is guessed`, () => {
      for (const [text, ms] of READINGS[unit]) {
        const expected = typeof ms === 'number' ? { ms } : ms;
        assert.deepEqual(readLength(unit, text), expected, JSON.stringify(text));
      }
    });

    test(`${unit}: what is written is read as the same length`, () => {
      const most = unit === 'haproxy_time' ? 2_147_483 : LONGEST;
      fc.assert(
        fc.property(fc.integer({ min: 1, max: most }).map(seconds), (length) => {
          assert.deepEqual(readLength(unit, writeLength(unit, length)), { ms: length * 1000 });
        }),
      );
    });

    test(`${unit}: whatever the text, it is a length of whole milliseconds or refused`, () => {
      const text = fc.oneof(
        fc.string(),
        fc.string({ unit: fc.constantFrom(...'0123456789.hmsduMyw -+e') }),
        fc.anything(),
        fc.integer(),
      );
      fc.assert(
        fc.property(text, (value) => {
          const read = readLength(unit, value);
          if (read === undefined || read === 'infinite') return;
          assert.ok(Number.isSafeInteger(read.ms) && read.ms >= 0, String(value));
          assert.ok(/^[0-9.]/.test(String(value)), `${value} begins with no number`);
        }),
      );
    });
  }

  test('a length that HAProxy cannot hold is not written shorter', () => {
    assert.throws(() => writeLength('haproxy_time', seconds(2_147_484)), TypeError);
  });

  test('a number alone is a thousand times more to one layer than to another', () => {
    assert.deepEqual(readLength('haproxy_time', '60'), { ms: 60 });
    assert.deepEqual(readLength('bare_seconds', '60'), { ms: 60_000 });
    for (const unit of ['go_duration', 'gateway_duration', 'protobuf_duration', 'linkerd_duration'] as const) {
      assert.equal(readLength(unit, '60'), undefined);
    }
  });
});

describe('the table', () => {
  test('no setting is there twice', () => {
    for (const rows of [TIMINGS, SWITCHES]) {
      const keys = rows.map(({ layer, place }) => JSON.stringify([layer, place]));
      assert.deepEqual(
        keys.filter((key, i) => keys.indexOf(key) !== i),
        [],
      );
    }
  });

  test('every default is a length in the unit of its row, and where absence is the default there is one or its layer chooses', () => {
    assert.ok(TIMINGS.length > 60);
    for (const { layer, place, unit, default: value } of TIMINGS) {
      if (value !== null) assert.notEqual(readLength(unit, value), undefined, `${layer} ${nameOf(place)}: ${value}`);
    }
  });

  test('every layer has rows; one that holds idle or age has a setting for it, and where something is missing a cutter is named', () => {
    for (const layer of LAYERS) {
      const { timings, switches, idle, age, cutters } = tableOf(layer);
      assert.ok(timings.length + switches.length > 0, layer);
      if (idle.hold === 'yes')
        assert.ok(
          timings.some(({ bounds, of }) => bounds === 'idle' && of.length > 0),
          layer,
        );
      if (age.hold === 'yes')
        assert.ok(
          timings.some(({ bounds, of }) => bounds === 'age' && of.includes('stream')),
          layer,
        );
      if (age.hold !== 'yes') assert.ok(cutters.length > 0, layer);
      assert.equal(
        age.hold === 'yes' || !timings.some((t) => t.bounds === 'age' && t.of.includes('stream') && t.shown === 'ran'),
        true,
        layer,
      );
      for (const cutter of cutters) assert.ok(CUTTERS[cutter]);
    }
  });

  test('a layer that was not run here has no row that was', () => {
    for (const layer of LAYERS) {
      const { shown, timings, switches } = tableOf(layer);
      const ran = [...timings, ...switches].filter((row) => row.shown === 'ran').map(({ place }) => nameOf(place));
      if (shown === 'not run here') assert.deepEqual(ran, [], layer);
      else assert.notDeepEqual(ran, [], layer);
    }
  });

  test('a row is found by its name, and no other is made up', () => {
    assert.equal(timingOf('nginx', 'proxy_read_timeout').unit, 'nginx_time');
    assert.throws(() => timingOf('nginx', 'proxy_reed_timeout'), TypeError);
    assert.ok(isLayer('istio'));
    assert.ok(!isLayer('iptables') && !isLayer(undefined));
  });
});

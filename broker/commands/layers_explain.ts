// `curfew-broker layers explain`: what a layer can hold of a session's limits, by which settings, and what is usually believed of them.
// Only tells: all of it is the table.

import { CurfewError } from '../../shared/errors.ts';
import { CUTTERS, isLayer, LAYERS } from '../layers_table/layer.ts';
import type { Switch, Timing } from '../layers_table/setting.ts';
import { nameOf, tableOf } from '../layers_table/table.ts';
import { UNITS } from '../layers_table/units.ts';
import { sayBound, sayHeld, sayMeaning, sayPlace, sayWhen } from '../layers_table/words.ts';

const BYTES =
  'idle counts bytes, and pings are bytes: such a limit ends what was abandoned, it never proves that inactivity ends a session';

/**
 * @param name of a layer; without one, all of them are listed
 * @throws CurfewError `usage` when there is no such layer
 */
export function explainLayers(name?: string): string[] {
  if (name === undefined) return listLayers();
  if (!isLayer(name)) {
    throw new CurfewError('usage', `there is no layer ${JSON.stringify(name)}, only ${LAYERS.join(', ')}`);
  }
  const { title, idle, age, session_end, cutters, shown, timings, switches } = tableOf(name);
  return [
    `${name}: ${title} (${sayShown(shown)})`,
    '',
    `idle: ${sayHeld(idle)}`,
    `age: ${sayHeld(age)}`,
    `this session's end: ${sayHeld(session_end)}`,
    ...(idle.hold === 'no' ? [] : [BYTES]),
    ...(cutters.length > 0 ? ['', 'what can end the rest:', ...cutters.map((one) => `  ${one}: ${CUTTERS[one]}`)] : []),
    ...(timings.length > 0 ? ['', 'settings that bound something:', ...timings.flatMap(sayTiming)] : []),
    ...(switches.length > 0 ? ['', 'settings that take a bound away:', ...switches.flatMap(saySwitch)] : []),
  ];
}

function listLayers(): string[] {
  const rows = LAYERS.map((layer) => {
    const { title, idle, age, session_end, shown } = tableOf(layer);
    return [layer, idle.hold, age.hold, session_end.hold, shown, title];
  });
  const all = [['layer', 'idle', 'age', "session's end", 'shown', ''], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return [
    ...all.map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    ),
    '',
    'more of one: curfew-broker layers explain LAYER',
  ];
}

function sayTiming(timing: Timing): string[] {
  const { place, unit, default: value, zero, absent, versions, trap, shown } = timing;
  return [
    `  ${nameOf(place)} (${sayPlace(place)})`,
    `    bounds ${sayBound(timing)}`,
    `    written ${UNITS[unit]}`,
    `    default ${value ?? 'none'}; 0 means ${sayMeaning(zero)}; absent means ${sayMeaning(absent)}`,
    ...(trap === undefined ? [] : [`    trap: ${trap}`]),
    `    versions: ${versions}; ${sayShown(shown)}`,
  ];
}

function saySwitch({ place, opens, finding, versions, trap, shown }: Switch): string[] {
  return [
    `  ${nameOf(place)} (${sayPlace(place)})`,
    `    ${finding} when ${sayWhen(opens)}: ${trap}`,
    `    versions: ${versions}; ${sayShown(shown)}`,
  ];
}

function sayShown(shown: Timing['shown']): string {
  return shown === 'ran' ? 'seen on the real thing' : 'not run here';
}

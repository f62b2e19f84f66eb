// The table of the layers as docs/layers.md has it, cell by cell.

import { LAYERS } from '../../broker/layers_table/layer.ts';
import { nameOf, SWITCHES, TIMINGS, tableOf } from '../../broker/layers_table/table.ts';
import { sayBound, sayHeld, sayMeaning, sayPlace, sayWhen } from '../../broker/layers_table/words.ts';

const code = (text: string) => `\`${text}\``;

export function layerRows(): string[][] {
  return LAYERS.map((layer) => {
    const { title, idle, age, session_end, cutters, shown } = tableOf(layer);
    return [
      `${code(layer)}: ${title}`,
      sayHeld(idle),
      sayHeld(age),
      sayHeld(session_end),
      cutters.map(code).join(', '),
      shown,
    ];
  });
}

export function settingRows(): string[][] {
  return TIMINGS.map((timing) => [
    timing.layer,
    code(nameOf(timing.place)),
    sayPlace(timing.place),
    code(timing.unit),
    timing.default === null ? 'none' : code(timing.default),
    sayMeaning(timing.zero),
    sayMeaning(timing.absent),
    sayBound(timing),
    timing.versions,
    timing.trap ?? '',
    timing.shown,
  ]);
}

export function switchRows(): string[][] {
  return SWITCHES.map(({ layer, place, opens, finding, versions, trap, shown }) => [
    layer,
    code(nameOf(place)),
    sayPlace(place),
    opens.is === 'equal' ? code(sayWhen(opens)) : sayWhen(opens),
    code(finding),
    versions,
    trap,
    shown,
  ]);
}

// Rows of the table in words: the same on a terminal and in the documents.

import type { Held } from './layer.ts';
import type { Meaning, Place, Timing, When } from './setting.ts';

/** Where a setting is, without its name. */
export function sayPlace(place: Place): string {
  switch (place.in) {
    case 'annotation':
      return `annotation of ${place.kinds.join(', ')}`;
    case 'config_map':
      return "the controller's ConfigMap";
    case 'field':
      return `${place.kinds.join(', ')} (${place.group})`;
    case 'directive':
    case 'file':
      return place.file;
    case 'flag':
      return `flag of ${place.program}${place.key === undefined ? '' : `; ${place.key} in its file`}`;
    case 'header':
      return 'header of a request';
  }
}

export function sayMeaning(meaning: Meaning): string {
  switch (meaning) {
    case 'no_limit':
      return 'no limit';
    case 'default':
      return 'the default';
    case 'at_once':
      return 'over at once';
    case 'refused':
      return 'refused';
    case 'browser_session':
      return 'until the browser is closed';
    case 'off':
      return 'off';
  }
}

export function sayWhen(when: When): string {
  return when.is === 'equal' ? when.values.join(' or ') : when.is;
}

/** What a setting bounds, and of what. */
export function sayBound({ bounds, of }: Timing): string {
  const what = bounds.replaceAll('_', ' ');
  return of.length === 0 ? `${what}, of nothing that is cut` : `${what} of ${of.join(', ')}`;
}

export function sayHeld({ hold, says }: Held): string {
  switch (hold) {
    case 'yes':
      return `held: ${says}`;
    case 'partly':
      return `partly: ${says}`;
    case 'no':
      return `not held: ${says}`;
  }
}

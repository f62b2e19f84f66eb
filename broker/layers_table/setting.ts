// One row of the table: where a setting of a layer is, how its length is written, and what it bounds or opens.

import type { Layer, Shown } from './layer.ts';
import type { Unit } from './units.ts';

/** Where a setting is written. */
export type Place =
  /** An annotation of objects of these kinds. */
  | { readonly in: 'annotation'; readonly kinds: readonly string[]; readonly name: string }
  /** A key of `data` in the controller's own ConfigMap. */
  | { readonly in: 'config_map'; readonly name: string }
  /** A field of objects of these kinds: dots between, `[]` for each of a list, `*` for each of a map. */
  | { readonly in: 'field'; readonly group: string; readonly kinds: readonly string[]; readonly path: string }
  /** A directive of a configuration file that is no YAML. */
  | { readonly in: 'directive'; readonly file: string; readonly name: string }
  /** A field of a configuration file in YAML, TOML or JSON; paths as for objects. */
  | { readonly in: 'file'; readonly file: string; readonly path: string }
  /** A flag of a program, and its name in the program's configuration file. */
  | { readonly in: 'flag'; readonly program: string; readonly name: string; readonly key?: string }
  | { readonly in: 'header'; readonly name: string };

/** What a setting bounds. */
export type Bound = 'idle' | 'age' | 'request' | 'verdict_cache' | 'cookie';

/** Of what it is the bound: what goes through, and at which an end comes. */
export type Traffic = 'plain' | 'stream' | 'tcp' | 'login' | 'connection';

/** What a length of zero, or none at all, means to the layer. */
export type Meaning =
  /** No bound at all. */
  | 'no_limit'
  /** What `default` says. */
  | 'default'
  /** Over at once. */
  | 'at_once'
  /** The layer does not take it. */
  | 'refused'
  /** The cookie is gone with the browser, and the server ends nothing. */
  | 'browser_session'
  /** The feature is off: nothing is kept, nothing is renewed. */
  | 'off';

/** A setting that bounds something in time. */
export interface Timing {
  readonly layer: Layer;
  readonly place: Place;
  readonly unit: Unit;
  /** As the layer's documents write it, in `unit`; `null` where absence is not a length. */
  readonly default: string | null;
  readonly zero: Meaning;
  readonly absent: Meaning;
  readonly bounds: Bound;
  /** Everything that it cuts or bounds; what is missing here is not touched by it. */
  readonly of: readonly Traffic[];
  readonly versions: string;
  /** What is usually believed of it and does not hold. */
  readonly trap?: string;
  readonly shown: Shown;
}

/** The names of what is found wrong in the layers. */
export const FINDINGS = [
  'idle_too_long',
  'idle_unbounded',
  'age_too_long',
  'no_age_bound',
  'verdict_cached',
  'no_revocation',
  'no_absolute_limit',
  'affinity_outlives',
  'idle_order',
  'unit_misread',
  'auth_missing',
  'auth_elsewhere',
  'auth_fail_open',
  'auth_bypass',
  'identity_spoof',
  'side_door',
  'netpol_none',
  'netpol_allow_all',
  'netpol_no_egress',
  'netpol_not_a_cut',
  'keepalive_defeats_idle',
  'retired_controller',
  'setting_ignored',
  'drift',
] as const;
export type FindingName = (typeof FINDINGS)[number];

/** When a switch opens something. */
export type When =
  | { readonly is: 'present' }
  | { readonly is: 'absent' }
  | { readonly is: 'equal'; readonly values: readonly string[] };

/** A setting without a length that takes a bound away, or goes around one. */
export interface Switch {
  readonly layer: Layer;
  readonly place: Place;
  readonly opens: When;
  readonly finding: FindingName;
  readonly versions: string;
  readonly trap: string;
  readonly shown: Shown;
}

// What judging a kubeconfig takes beside its text: the clock, the files that it names, the programs that kuberc allows.

import { dirname, isAbsolute, resolve } from 'node:path';
import { sayDuration } from '../../shared/duration.ts';
import { between, over, type Seconds } from '../../shared/time.ts';
import type { Opened } from '../warm/machine.ts';
import type { Allowed } from './kuberc.ts';

export interface World {
  readonly now: Seconds;
  /** Follows links, and never waits. */
  readonly read: (path: string) => Opened;
  readonly allowed: Allowed;
  /** Why others could exchange a program, if they could. */
  readonly exchangeable: (path: string) => string | undefined;
  /** Whether this runs where machines work. */
  readonly ci: boolean;
}

/** As client-go does it: relative to the kubeconfig. */
export function besideKubeconfig(file: string, path: string): string {
  return isAbsolute(path) ? path : resolve(dirname(file), path);
}

export function sayEnd(end: Seconds | undefined, now: Seconds): string {
  if (end === undefined) return 'without an end that it says';
  if (over(end, now)) return `over since ${sayDay(end)}`;
  return `until ${sayDay(end)} (${sayDuration(between(now, end))})`;
}

function sayDay(instant: Seconds): string {
  return new Date(instant * 1000).toISOString().slice(0, 10);
}

/** Names that people give to what machines use. */
const MACHINE =
  /(?:^|[^a-z])(?:ci|cd|cicd|bot|robot|jenkins|gitlab-ci|github-actions|runner|argo|argocd|flux|deploy|deployer|pipeline|pipelines|automation|terraform|ansible|tekton|drone|circleci|buildkite|travis|spinnaker|monitoring|cron|svc|service-?account)(?:[^a-z]|$)/i;

export function isNamedAsMachine(...names: readonly string[]): boolean {
  return names.some((name) => MACHINE.test(name));
}

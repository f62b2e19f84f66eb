// A configuration of HAProxy: the idle timeouts of each proxy, whose `defaults` hold where it says nothing.

import type { WholeLimits } from '../../shared/limits.ts';
import { timingOf } from '../layers_table/table.ts';
import { type Section, settingOf } from '../manifests/line_files.ts';
import type { RawFile } from '../manifests/raw.ts';
import { CUTTER, holdsIdle, isCutter } from './controllers.ts';
import type { Report, Subject } from './finding.ts';
import { effectOf, faultOf } from './lengths.ts';

type HaproxyFile = Extract<RawFile, { readonly is: 'haproxy' }>;

export function judgeHaproxy(
  { sections, cutter }: HaproxyFile,
  subject: Subject,
  limits: WholeLimits,
  report: Report,
): void {
  const told = new Set<string>();
  const say = (name: Parameters<Report>[0], line: number, detail: string) => {
    const key = `${name} ${line} ${detail}`;
    if (!told.has(key)) report(name, subject, [line], detail);
    told.add(key);
  };
  const held = holdsIdle(cutter);
  for (const section of sections) {
    if (!/^(?:frontend|backend|listen)$/.test(section.kind)) continue;
    for (const name of timeoutsOf(section)) {
      const row = timingOf('haproxy', name);
      const [, which = ''] = name.split(' ');
      const set = settingOf(section, 'timeout', which);
      const fault = faultOf(row, effectOf(row, set?.words[2]), limits);
      if (fault && !(held && fault.name.startsWith('idle_')))
        say(fault.name, set?.line ?? section.line, `${section.kind} ${section.name}: ${fault.detail}`);
    }
    const leads = section.kind !== 'frontend' && section.lines.some(({ words }) => words[0] === 'server');
    if (leads && !isCutter(cutter))
      say(
        'no_age_bound',
        section.line,
        `${section.kind} ${section.name}: nothing of HAProxy ends what is in use, and no ${CUTTER} is named`,
      );
  }
}

/** After an upgrade, and of TCP, `tunnel` takes the place of both others; a frontend has its client, a backend its server. */
function timeoutsOf(section: Section): readonly string[] {
  const own =
    section.kind === 'frontend'
      ? ['timeout client']
      : section.kind === 'backend'
        ? ['timeout server']
        : ['timeout client', 'timeout server'];
  return settingOf(section, 'timeout', 'tunnel') ? [...own, 'timeout tunnel'] : own;
}

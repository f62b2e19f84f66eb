// Keepalives of TCP where the node counts packets as use: what nobody uses then never is idle.

import type { WholeLimits } from '../../shared/limits.ts';
import { everyDirective } from '../manifests/nginx_conf.ts';
import type { KubeObject } from '../manifests/objects.ts';
import type { RawFile } from '../manifests/raw.ts';
import { valueAt } from '../manifests/values.ts';
import { cutterWritten } from './controllers.ts';
import type { Estate } from './estate.ts';
import { type Report, type Subject, subjectOf } from './finding.ts';
import { select } from './select.ts';

/** Where objects switch them on. */
const FIELDS: Readonly<Record<string, string>> = {
  DestinationRule: 'spec.trafficPolicy.connectionPool.tcp.tcpKeepalive',
  ClientTrafficPolicy: 'spec.tcpKeepalive',
  BackendTrafficPolicy: 'spec.tcpKeepalive',
};
const OF_ENVOY = [
  'static_resources.clusters[].upstream_connection_options.tcp_keepalive',
  'static_resources.listeners[].tcp_keepalive',
];

export function judgeKeepalives(
  estate: Estate,
  limitsOf: (object: KubeObject | undefined) => WholeLimits | undefined,
  report: Report,
): void {
  const counts =
    estate.objects.some((object) => cutterWritten(object) === 'nftables') ||
    estate.files.some((file) => file.cutter === 'nftables' || countsPackets(file));
  if (!counts) return;
  for (const [kind, path] of Object.entries(FIELDS))
    for (const object of estate.all(kind)) {
      if (limitsOf(object) === undefined) continue;
      for (const one of select(object.value, path))
        if (one.value !== undefined) report('keepalive_defeats_idle', subjectOf(object), one.path, 'tcpKeepalive');
    }
  for (const file of estate.files) if (limitsOf(undefined)) judgeFile(file, report);
}

function countsPackets(file: RawFile): boolean {
  return (
    file.is === 'nftables' &&
    file.lines.some(({ words }) => words.some((word, i) => word === 'update' && words[i + 1]?.startsWith('@')))
  );
}

function judgeFile(file: RawFile, report: Report): void {
  const subject: Subject = { place: file.place };
  const say = (line: number, detail: string) => report('keepalive_defeats_idle', subject, [line], detail);
  if (file.is === 'nginx')
    for (const { directive } of everyDirective(file.directives)) {
      const listens = directive.name === 'listen' && directive.words.some((word) => /^so_keepalive=(?!off)/.test(word));
      if (listens || (directive.name === 'proxy_socket_keepalive' && directive.words[0] === 'on'))
        say(directive.line, listens ? 'so_keepalive' : directive.name);
    }
  if (file.is === 'haproxy')
    for (const { lines } of file.sections)
      for (const { words, line } of lines)
        if (words[0] === 'option' && /^(?:tcpka|clitcpka|srvtcpka)$/.test(words[1] ?? ''))
          say(line, `option ${words[1]}`);
  if (file.is === 'envoy')
    for (const path of OF_ENVOY)
      for (const one of select(file.value, path))
        if (valueAt(one.value) !== undefined) report('keepalive_defeats_idle', subject, one.path, 'tcp_keepalive');
}

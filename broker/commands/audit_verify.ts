// `curfew-broker audit verify`: what it reads and says. It only reads, also while the broker runs.

import { CurfewError, EXIT } from '../../shared/errors.ts';
import { type Link, sealerOf } from '../audit_log/chain.ts';
import { type Findings, verifyLanes } from '../audit_log/verify_lanes.ts';
import type { ConfiguredKeys } from '../encryption.ts';
import { type Places, reading } from './audit_reader.ts';

/**
 * @param anchorTexts each `SEQ:HASH` or `LANE:SEQ:HASH`, or several with commas between
 * @throws CurfewError `usage` for what is no anchor, `configuration` when there is no store to read, `store` when it cannot be read
 */
export async function verifyAuditLog(
  { store, ...keys }: { readonly store: Places } & ConfiguredKeys,
  anchorTexts: readonly string[] = [],
): Promise<{ readonly lines: readonly string[]; readonly exit: number }> {
  const anchors = anchorTexts.flatMap((text) => text.split(',')).map(parseAnchor);
  const sealer = sealerOf(keys);
  return reading(store, async (log) => {
    const { several } = log;
    const findings = await log.moment((moment) => verifyLanes(moment, { sealer, anchors, several }));
    const { faults } = findings;
    if (faults.length > 0) return { lines: faults.map((fault) => `error: ${fault}`), exit: EXIT.configuration };
    const held = anchors.map(
      ({ lane = 0, seq }) => `ok: row ${seq}${several ? ` of lane ${lane}` : ''} is the one of the anchor`,
    );
    return { lines: [several ? sayLanes(findings) : sayChain(findings), ...held], exit: EXIT.done };
  });
}

function sayChain({ rows, newest: [newest] }: Findings): string {
  return `ok: ${sayRows(rows)}, anchor ${newest?.seq}:${newest?.hash}`;
}

/** As it can be given back. A lane without rows has nothing that could be lost. */
function sayLanes({ rows, newest }: Findings): string {
  const anchors = newest.filter(({ seq }) => seq > 0).map(({ lane = 0, seq, hash }) => `${lane}:${seq}:${hash}`);
  const lanes = `${newest.length} ${newest.length === 1 ? 'lane' : 'lanes'}`;
  return `ok: ${sayRows(rows)} in ${lanes}${anchors.length > 0 ? `, anchor ${anchors.join(',')}` : ''}`;
}

function sayRows(count: number): string {
  return `${count} ${count === 1 ? 'row' : 'rows'}`;
}

function parseAnchor(text: string): Link {
  const pattern = /^(?:([0-9]{1,9}):)?([1-9][0-9]{0,14}):([0-9a-f]{64})$/;
  const [, lane = '0', seq, hash] = pattern.exec(text.trim().toLowerCase()) ?? [];
  if (seq !== undefined && hash !== undefined) return { lane: Number(lane), seq: Number(seq), hash };
  throw new CurfewError('usage', '--anchor: expected SEQ:HASH or LANE:SEQ:HASH, as a line of the audit log has them');
}

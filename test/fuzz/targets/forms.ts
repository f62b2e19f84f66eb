// Forms: against a reading by hand, and against URLSearchParams.

import assert from 'node:assert/strict';
import { parseForm, parseSwap, parseTokenRequest } from '../../../broker/http/form.ts';
import { LONGEST } from '../../../shared/duration.ts';
import { GRANT, TOKEN_TYPE } from '../../../shared/wire.ts';
import { bytesOf, refusable, type Targets } from '../target.ts';

const text = (fields: Readonly<Record<string, string>>) => new URLSearchParams(fields).toString();

export const forms: Targets = {
  form: {
    seeds: [
      text({
        ...{ grant_type: GRANT.exchange, subject_token_type: TOKEN_TYPE.id_token, subject_token: 'x', client_id: 'y' },
        ...{ nonce_random: 'z', audience: 'dev', max_age: '60' },
      }),
      text({ grant_type: GRANT.renewal, refresh_token: 'a', audience: 'dev', max_age: '900', id_token: 'x' }),
      text({
        ...{ grant_type: GRANT.exchange, subject_token_type: TOKEN_TYPE.jwt, subject_token: 'x', audience: 'dev' },
      }),
    ],
    run(input) {
      const form = refusable(() => parseForm(bytesOf(input)));
      if (!form) return;
      const pairs = input.split('&').filter((pair) => pair !== '');
      const names = pairs.map((pair) => decodeURIComponent((pair.split('=')[0] ?? '').replaceAll('+', ' ')));
      assert.equal(new Set(names).size, names.length, 'a repeated parameter is taken');
      assert.deepEqual([...form.keys()], names, 'other parameters');
      // URLSearchParams removes a `?` in front.
      assert.deepEqual([...form], [...new URLSearchParams(`?${input}`)], 'another reading than by URLSearchParams');
      assert.doesNotMatch([...form].flat().join(), /[\0\ufffd]/u, 'what is not UTF-8, or NUL, is taken');
      for (const parse of [parseTokenRequest, parseSwap]) checkRequest(refusable(() => parse(form)));
    },
  },
};

function checkRequest(parsed: ReturnType<typeof parseTokenRequest> | ReturnType<typeof parseSwap> | undefined): void {
  if (!parsed) return;
  const request = 'grant' in parsed ? parsed.request : parsed;
  for (const value of Object.values(request)) assert.notEqual(value, '', 'an empty parameter is taken for one');
  const { max_age } = { max_age: undefined, ...request };
  assert.ok(max_age === undefined || (max_age > 0 && max_age <= LONGEST), 'a max_age beyond all limits');
}

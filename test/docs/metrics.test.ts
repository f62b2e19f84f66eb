// The dashboard, the alerts and docs/metrics.md against the registry, both ways.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Counter } from 'prom-client';
import { parse } from 'yaml';
import { createMetrics } from '../../broker/metrics/metrics.ts';
import { createMetrics as createGatewayMetrics } from '../../gateway/metrics.ts';
import { firstNames, namesIn, read, rowsOf } from './documents.ts';
import { parseQuery, type Selector } from './promql.ts';

interface Metric {
  readonly type: string;
  readonly labels: readonly string[];
}

const metrics = registered();

/** By the name that is documented: a counter's with `_total`. */
function registered(): ReadonlyMap<string, Metric> {
  const { registry } = createMetrics({ stopwatch: () => 0, version: '', of_process: true });
  // What the types leave out of a metric.
  const all = registry.getMetricsAsArray() as unknown as (Counter & Metric & { name: string; labelNames: string[] })[];
  return new Map(all.map(({ name, type, labelNames }) => [name, { type, labels: [...labelNames].sort() }]));
}

/** What Prometheus itself adds to what it scrapes. */
const OF_SCRAPE = ['job', 'instance'];

/** The metric behind the name of a sample, and the labels that such samples have. @throws AssertionError */
function metricOf({ metric, range }: Selector): { name: string; labels: readonly string[] } {
  if (metric === 'up') return { name: metric, labels: [] };
  const [, base = metric, suffix] = /^(.*)_(bucket|sum|count)$/.exec(metric) ?? [];
  const name = metrics.get(base)?.type === 'histogram' ? base : metric;
  const found = metrics.get(name);
  assert.ok(found, `there is no metric ${metric}`);
  const { type, labels } = found;
  if (type === 'histogram') assert.ok(suffix, `${metric} is a histogram`);
  if (type === 'counter') assert.match(metric, /_total$/);
  assert.equal(range, type !== 'gauge', `${metric} is a ${type}`);
  return { name, labels: suffix === 'bucket' ? [...labels, 'le'] : labels };
}

/** @returns the metrics that an expression names @throws AssertionError for what is not there */
function checkQuery(expression: string, texts: readonly string[] = []): string[] {
  const { selectors, grouping } = parseQuery(expression);
  assert.ok(selectors.length > 0, `no metric in ${expression}`);
  const found = selectors.map((selector) => {
    const metric = metricOf(selector);
    const known = [...metric.labels, ...OF_SCRAPE];
    for (const label of selector.labels) assert.ok(known.includes(label), `${label} of ${expression}`);
    return metric;
  });
  const labels = [...found.flatMap((metric) => metric.labels), ...OF_SCRAPE];
  for (const label of grouping) assert.ok(labels.includes(label), `${label} of ${expression}`);
  for (const text of texts) {
    const named = [...text.matchAll(/\{\{\s*(?:\$labels\.)?(\w+)/g)].map(([, label = '']) => label);
    for (const label of named) assert.ok(grouping.includes(label), `${label} of ${text}, for ${expression}`);
  }
  return found.map(({ name }) => name);
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

interface Dashboard {
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: string }[] };
}

describe('docs/grafana/curfew.json', () => {
  const text = read('docs/grafana/curfew.json');
  const { title, panels, templating } = JSON.parse(text) as Dashboard;
  const targets = panels.flatMap((panel) => panel.targets ?? []);
  // Grafana puts a variable's value where its name stands.
  const expand = (expression: string) => expression.replaceAll('$__rate_interval', '5m');

  test('each metric and label that it names exists, with the type that it is used as', () => {
    assert.ok(targets.length > 20);
    for (const { expr, legendFormat } of targets) checkQuery(expand(expr), [legendFormat]);
  });

  test('each metric of ours stands on it', () => {
    const shown = new Set(targets.flatMap(({ expr }) => checkQuery(expand(expr))));
    const ours = [...metrics.keys()].filter((name) => name.startsWith('curfew_'));
    assert.deepEqual(
      ours.filter((name) => !shown.has(name)),
      [],
    );
  });

  test('its variables are made of metrics that exist, and all that are used are there', () => {
    const names = templating.list.map(({ name }) => name);
    for (const { query } of templating.list.filter(({ query }) => query.startsWith('label_values('))) {
      const [, expression = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(query) ?? [];
      const [selector] = parseQuery(expression).selectors;
      assert.ok(selector, query);
      assert.ok([...metricOf(selector).labels, ...OF_SCRAPE].includes(label), query);
    }
    const used = [...text.matchAll(/\$\{?([a-z]\w*)/g)].map(([, name = '']) => name);
    assert.deepEqual([...new Set(used)].sort(), [...names].sort());
  });

  test('can be imported: a title, panels with ids of their own that do not overlap, one data source to choose', () => {
    assert.equal(title, 'curfew');
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );
    assert.equal(new Set(cells).size, cells.length);
    assert.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24));
    for (const { type, datasource, title } of panels) {
      if (type !== 'row') assert.deepEqual(datasource, { type: 'prometheus', uid: `\${datasource}` }, title);
    }
  });
});

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

describe('docs/prometheus/alerts.yaml', () => {
  const { groups } = parse(read('docs/prometheus/alerts.yaml')) as { groups: readonly { rules: readonly Rule[] }[] };
  const rules = groups.flatMap((group) => group.rules);

  test('each metric and label that it names exists, with the type that it is used as', () => {
    assert.ok(rules.length > 8);
    for (const { expr, annotations } of rules) {
      checkQuery(expr, [annotations.summary.replaceAll('$value', ''), annotations.description]);
    }
  });

  test('each alert says how bad it is, what happened and what it means, and is documented', () => {
    for (const { alert, labels, annotations } of rules) {
      assert.match(labels.severity, /^(critical|warning|info)$/, alert);
      assert.ok(annotations.summary && annotations.description, alert);
    }
    const documented = firstNames(rowsOf(read('docs/metrics.md'), 'alert', 'when'));
    assert.deepEqual(
      documented,
      rules.map(({ alert }) => alert),
    );
  });
});

test('docs/metrics.md lists each metric with its type and labels, and no other', () => {
  const rows = rowsOf(read('docs/metrics.md'), 'metric', 'type', 'labels', 'what');
  const documented = rows.flatMap(([names = '', type = '', labels = '', what]) => {
    assert.ok(what, names);
    return namesIn(names).map((name): [string, Metric] => [name, { type, labels: namesIn(labels).sort() }]);
  });
  assert.equal(new Map(documented).size, documented.length, 'documented twice');
  assert.deepEqual(Object.fromEntries(documented.sort()), Object.fromEntries([...metrics].sort()));
});

test('docs/gateway.md lists each metric of the gateway with its type and labels, and no other', () => {
  const nothing = () => 0;
  const looked = {
    ...{ feedAge: nothing, leaseAge: nothing, isLost: () => false, waitingEvents: nothing },
    ...{ connections: nothing, pending: nothing },
  };
  const { registry } = createGatewayMetrics('', looked, false);
  const all = registry.getMetricsAsArray() as unknown as (Counter & Metric & { name: string; labelNames: string[] })[];
  const real = all.map(({ name, type, labelNames }): [string, Metric] => [
    name,
    { type, labels: [...labelNames].sort() },
  ]);
  const rows = rowsOf(read('docs/gateway.md'), 'gateway metric', 'type', 'labels', 'what');
  const documented = rows.flatMap(([names = '', type = '', labels = '', what]) => {
    assert.ok(what, names);
    return namesIn(names).map((name): [string, Metric] => [name, { type, labels: namesIn(labels).sort() }]);
  });
  assert.ok(real.length > 8);
  assert.deepEqual(Object.fromEntries(documented.sort()), Object.fromEntries(real.sort()));
});

describe('what reads PromQL here', () => {
  test('finds metrics, their labels and ranges, and what is grouped by; no function, text or number', () => {
    const { selectors, grouping } = parseQuery(
      `histogram_quantile(0.99, sum by (le, by) (rate(a_bucket{x="b{c}", y=~'d'}[5m])) ) > 1e3 and on () (e or f:g offset 5m)`,
    );
    assert.deepEqual(selectors, [
      { metric: 'a_bucket', labels: ['x', 'y'], range: true },
      { metric: 'e', labels: [], range: false },
      { metric: 'f:g', labels: [], range: false },
    ]);
    assert.deepEqual(grouping, ['le', 'by']);
    assert.throws(() => parseQuery('a # b'));
  });

  test('refuses what does not exist or is of another type', () => {
    for (const wrong of [
      'curfew_nothing',
      'rate(curfew_sessions_living[5m])',
      'curfew_logins_total',
      'rate(curfew_logins[5m])',
      'rate(curfew_webhook_duration_seconds[5m])',
      'curfew_sessions_living{cluster="x"}',
      'sum by (cluster) (rate(curfew_ends_total[5m]))',
      'sum by (le) (rate(curfew_webhook_duration_seconds_count[5m]))',
      '1 + 1',
    ]) {
      assert.throws(() => checkQuery(wrong), assert.AssertionError, wrong);
    }
    assert.throws(() => checkQuery('curfew_build_info', ['{{version}}']), assert.AssertionError);
  });
});

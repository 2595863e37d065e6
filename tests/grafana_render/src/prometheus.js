// A data source for Prometheus: ours, for Grafana's own needs Grafana's server. Variables and intervals are put in as it does.
import { RuntimeDataSource, sceneGraph } from '@grafana/scenes';
import { FieldType, LoadingState, toDataFrame } from '@grafana/data';
import { from } from 'rxjs';
import { note } from './grafana.js';

const SCRAPE_SECONDS = 5;
const STEPS = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
export const asked = [];

const number = (text) => ({ NaN: NaN, '+Inf': Infinity, '-Inf': -Infinity })[text] ?? Number(text);
const joined = (value) => (Array.isArray(value) ? (value.length > 1 ? `(${value.join('|')})` : String(value[0])) : String(value));

async function ask(path, values) {
  const answer = await fetch('/prometheus' + path, { method: 'POST', body: new URLSearchParams(values) });
  const told = await answer.json();
  if (told.status !== 'success') { throw new Error(`${told.error}: ${values.query}`); }
  return told.data;
}

function withVariables(text, scoped) {
  const scene = scoped?.__sceneObject?.value?.valueOf();
  return scene ? sceneGraph.interpolate(scene, text, scoped, joined) : text;
}

function stepOf(request) {
  const seconds = (request.range.to.valueOf() - request.range.from.valueOf()) / 1000;
  const wanted = Math.max(SCRAPE_SECONDS, seconds / (request.maxDataPoints || 500));
  return { seconds, step: STEPS.find((step) => step >= wanted) ?? 86400 };
}

export class Prometheus extends RuntimeDataSource {
  constructor() { super('prometheus', 'prometheus'); this.meta = { id: 'prometheus' }; }

  query(request) { return from(this.answer(request)); }

  async answer(request) {
    const targets = request.targets.filter((target) => target.expr && !target.hide);
    const tables = targets.filter((target) => target.format === 'table').length;
    const data = [];
    for (const target of targets) {
      const rows = await this.rows(target, request);
      data.push(...(target.format === 'table' ? [table(rows, target, tables)] : rows.map((row) => line(row, target))));
    }
    return { data, state: LoadingState.Done };
  }

  async rows(target, request) {
    const { seconds, step } = stepOf(request);
    const intervals = { __rate_interval: Math.max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS), __interval: step, __range: Math.round(seconds) };
    const timed = target.expr.replace(/\$\{?(__rate_interval|__interval|__range)\}?/g, (_, name) => `${intervals[name]}s`);
    const query = withVariables(timed, request.scopedVars);
    const log = { query };
    asked.push(log);
    const [start, end] = [request.range.from, request.range.to].map((at) => Math.floor(at.valueOf() / 1000 / step) * step);
    const now = target.instant && !target.range;
    const told = await ask(now ? '/api/v1/query' : '/api/v1/query_range', now ? { query, time: end } : { query, start, end, step });
    log.series = told.result.length;
    return told.result.map((row) => ({ labels: row.metric, points: row.values || [row.value], step }));
  }

  async metricFindQuery(given, options) {
    const text = withVariables(given.query ?? given, options?.scopedVars);
    const values = /^label_values\((.+), (\w+)\)$/.exec(text);
    if (values) {
      const told = await ask('/api/v1/query', { query: `count by (${values[2]}) (${values[1]})` });
      asked.push({ query: text, series: told.result.length });
      return told.result.map((row) => ({ text: row.metric[values[2]] }));
    }
    const result = /^query_result\((.+)\)$/.exec(text);
    if (!result) { note(`unknown query of a variable: ${text}`); return []; }
    const told = await ask('/api/v1/query', { query: result[1] });
    asked.push({ query: text, series: told.result.length });
    return told.result.map((row) => ({ text: `{${Object.entries(row.metric).map(([k, v]) => `${k}="${v}"`).join(', ')}}` }));
  }
}

function line({ labels, points, step }, target) {
  const plain = Object.entries(labels).map(([name, value]) => `${name}="${value}"`).join(', ');
  const legend = target.legendFormat && target.legendFormat !== '__auto';
  const name = legend ? target.legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '') : `{${plain}}`;
  return toDataFrame({
    refId: target.refId,
    name,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map(([at]) => at * 1000), config: { interval: step * 1000 } },
      { name: 'Value', type: FieldType.number, values: points.map(([, value]) => number(value)), labels, config: { displayNameFromDS: name } },
    ],
  });
}

function table(rows, target, tables) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.labels)))].sort();
  const last = rows.map((row) => row.points.at(-1));
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: last.map(([at]) => at * 1000) },
      ...names.map((name) => ({ name, type: FieldType.string, values: rows.map((row) => row.labels[name] ?? '') })),
      { name: tables > 1 ? `Value #${target.refId}` : 'Value', type: FieldType.number, values: last.map(([, value]) => number(value)) },
    ],
  });
}

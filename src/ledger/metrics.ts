/**
 * Counters, gauges and histograms, and the text in which Prometheus reads them.
 *
 *     # HELP name help
 *     # TYPE name counter|gauge|histogram
 *     name{label="value"} 1
 *
 * Prometheus text exposition format, version 0.0.4.
 */

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  /** Of a histogram: what follows the name, `_bucket`, `_sum` or `_count`. */
  readonly suffix?: string;
  readonly labels?: Labels;
  readonly value: number;
}

export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly Sample[];
}

export const EXPOSITION_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * A count per value of one label, e.g. failures by code.
 *
 * Labels can come from what a peer sent: past `maxLabels` different ones, further ones are counted as `other`, so that
 * nobody can grow the table without end.
 */
export class CounterByLabel {
  readonly #counts = new Map<string, number>();
  readonly #maxLabels: number;

  constructor(maxLabels = 100) {
    this.#maxLabels = maxLabels;
  }

  add(label: string, amount = 1): void {
    const key = this.#counts.has(label) || this.#counts.size < this.#maxLabels ? label : 'other';
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + amount);
  }

  get total(): number {
    let sum = 0;
    for (const count of this.#counts.values()) {
      sum += count;
    }
    return sum;
  }

  /** Largest first. */
  toJSON(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort((a, b) => b[1] - a[1]));
  }

  samples(labelName: string): Sample[] {
    return [...this.#counts].map(([label, value]) => ({ labels: { [labelName]: label }, value }));
  }
}

/** All metrics as one text. */
export function exposition(metrics: readonly Metric[]): string {
  const lines: string[] = [];
  for (const metric of metrics) {
    lines.push(`# HELP ${metric.name} ${metric.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`);
    lines.push(`# TYPE ${metric.name} ${metric.type}`);
    for (const sample of metric.samples) {
      lines.push(`${metric.name}${sample.suffix ?? ''}${formatLabels(sample.labels)} ${formatValue(sample.value)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function formatLabels(labels: Labels | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function formatValue(value: number): string {
  if (Number.isNaN(value)) {
    return 'NaN';
  }
  if (!Number.isFinite(value)) {
    return value > 0 ? '+Inf' : '-Inf';
  }
  return String(value);
}

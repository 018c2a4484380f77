/** What a reader has to know of the machine to place the figures; nothing that names it. */

import { availableParallelism, cpus, loadavg } from 'node:os';

export interface MachineFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly platform: string;
  readonly node: string;
  readonly openssl: string;
  /** Over the last minute, before the run. */
  readonly load: number;
}

export function machineFacts(): MachineFacts {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    openssl: process.versions.openssl,
    load: Math.round(loadavg()[0] * 10) / 10,
  };
}

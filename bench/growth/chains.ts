/** Full handshakes with longer and longer chains, ours and node:tls. */

import { Cast, subjects } from '../cast.ts';
import { makeCertificate } from '../certificate.ts';
import type { Subject } from '../messages.ts';
import { progress } from '../progress.ts';

export interface ChainFigures {
  /** Certificates that the server sends. */
  readonly count: number;
  /** CPU µs per handshake at both ends. */
  readonly micros: Readonly<Record<Subject, number>>;
}

export async function measureChains(): Promise<ChainFigures[]> {
  const found: ChainFigures[] = [];
  for (const count of [1, 2, 3, 4]) {
    progress(`chains of ${count}`);
    const engines = { ours: 'ours', nodeTls: 'node' } as const;
    const cast = await Cast.start({ engines, workload: 'handshake', certificate: makeCertificate(count) });
    try {
      const micros = { ours: 0, nodeTls: 0 };
      for (const subject of subjects) {
        const drive = (ms: number) =>
          cast.drive({ client: subject, server: subject }, ms, {
            pin: 'aes128',
            usual: false,
            options: { inFlight: 16 },
          });
        await drive(WARM_UP_MS);
        const { cpuMicros, serverCpuMicros, total } = await drive(ROUND_MS);
        micros[subject] = (cpuMicros + serverCpuMicros) / total;
      }
      found.push({ count, micros });
    } finally {
      cast.kill();
    }
  }
  return found;
}

/** Some thousand handshakes: fewer would measure the compiler. */
const WARM_UP_MS = 5000;
const ROUND_MS = 1500;

/** The keys of an agent that drives HAProxy: what it reads back, and what it writes over keys that end. */

import { eraseAll, keysIn, randomLines } from '../../src/node/agent/haproxy-keys.ts';

const KEY_SIZE = 48;
const ID = Buffer.from('0.1 ');

/** Never as a string, as the autopsy looks for them afterwards. */
export function otherServers(): void {
  const lines = randomLines(KEY_SIZE);
  const length = lines.length / 3;
  const answer = new Uint8Array(new ArrayBuffer(lines.length + 3 * ID.length));
  for (let i = 0; i < 3; i++) {
    const at = i * (ID.length + length);
    answer.set(ID, at);
    answer.set(lines.subarray(i * length, (i + 1) * length), at + ID.length);
  }
  const held = keysIn(answer, KEY_SIZE);
  eraseAll(held?.map((key) => key.clone('heldByServer')));
  eraseAll(held);
  lines.fill(0);
  answer.fill(0);
}

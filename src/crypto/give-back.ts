/**
 * Gives the memory of a cipher's output back at once, where Node can. Left to the garbage collector it costs far more than
 * it looks: V8 counts what hangs outside of its heap, and some 64 MiB of it start a collection of the whole heap; until
 * then every next output lies on memory that no cache holds.
 *
 *     ArrayBuffer.prototype.transfer(0)                newer Nodes
 *     postMessage(null, [buffer]) to a closed port     Node 20: what is transferred is gone (HTML Standard §9.4.4)
 */

import { hasTransfer, type Transferable } from './capabilities.ts';

/** `output` must be an allocation of its own that nobody uses any more; what is a slice of something larger is left alone. */
export function giveBack(output: Uint8Array): void {
  if (output.length < SMALLEST_POSTED || output.length !== output.buffer.byteLength) {
    return;
  }
  way ??= findWay();
  way(output.buffer as ArrayBuffer);
}

type Way = (buffer: ArrayBuffer) => void;

function findWay(): Way {
  if (hasTransfer()) {
    return (buffer) => {
      (buffer as Transferable).transfer(0);
    };
  }
  try {
    return closedPort();
  } catch {
    return leave;
  }
}

function closedPort(): Way {
  const { port1, port2 } = new MessageChannel();
  port1.unref();
  port2.close();
  const list: ArrayBuffer[] = [];
  const post = (buffer: ArrayBuffer): void => {
    list[0] = buffer;
    port1.postMessage(null, list);
    list.length = 0;
  };
  const probe = new ArrayBuffer(SMALLEST_POSTED);
  post(probe);
  return probe.byteLength === 0 ? post : leave;
}

function leave(): void {}

let way: Way | undefined;
/** Below this, giving memory back by hand costs more than leaving it to the collector. */
const SMALLEST_POSTED = 4096;

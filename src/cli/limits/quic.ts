/** The part of `mayfly limits` that is about QUIC. */

import { type Rate, secondsFor } from '../../limits/key-limits.ts';
import type { QuicKeyLimits } from '../../limits/quic-limits.ts';
import { paragraph } from '../terminal.ts';
import { fittingTable, log2Of, longTime, powerText } from './words.ts';

export function quicText(limits: readonly QuicKeyLimits[], rate: Rate, rateText: string): string[] {
  if (limits.length === 0) {
    return [];
  }
  const [{ packetSize, confidentiality, integrity }] = limits;
  const unit = rateText.replace('records', 'packets');
  return [
    '',
    ...paragraph(
      `QUIC, packets of ${packetSize.toLocaleString('en')} bytes, at most ${powerText(confidentiality.advantage)} for reading and ` +
        `${powerText(integrity.advantage)} for forging`,
    ),
    '',
    ...fittingTable(
      [
        [
          'suite',
          'may seal',
          'Mayfly seals',
          `at ${unit}`,
          'reading gains',
          'forgeries',
          'Mayfly bears',
          'forging gains',
        ],
        ...limits.map((one) => cells(one, rate)),
      ],
      2,
    ),
    '',
    ...paragraph(
      'A forged packet is dropped, and the connection goes on until its limit of forgeries. Packet numbers have 62 bits. ' +
        'Mayfly’s limits are those of RFC 9001 §6.6, of AES-GCM for packets of up to 2^16 bytes: smaller ones gain less. The ' +
        'QUIC stack updates the key before (QuicPacketProtection.next()); one that is used up seals nothing more.',
    ),
  ];
}

function cells(limits: QuicKeyLimits, rate: Rate): string[] {
  const { suite, confidentiality, integrity, counter, mayfly, packetSize } = limits;
  const { packets } = confidentiality;
  return [
    suite,
    packets === undefined ? `${powerText(log2Of(counter))} (counter)` : powerText(log2Of(packets)),
    powerText(log2Of(mayfly.usageLimit)),
    longTime(secondsFor(mayfly.usageLimit, packetSize, rate)),
    mayfly.gainedByReading === undefined ? 'nothing' : powerText(mayfly.gainedByReading),
    powerText(log2Of(integrity.attempts)),
    powerText(log2Of(mayfly.forgeryLimit)),
    powerText(mayfly.gainedByForging),
  ];
}

/** The scenarios of `--work`, in their order: apart from what they do, so that the command line is read fast. */

export const scenarioNames = [
  'handshake_full_1.3_p256',
  'handshake_full_1.3_hybrid',
  'handshake_psk_dhe',
  'handshake_full_1.2_p256',
  'handshake_ticket_1.2',
  'handshake_id_1.2',
  'transfer_64k',
  'transfer_16k',
  'transfer_1k',
  'pingpong_1b',
  'pingpong_1k',
  'key_update',
  'socket_handshake_full_1.3',
  'socket_bulk_64k',
  'socket_stream_1k',
  'socket_pingpong_1b',
] as const;

export type ScenarioName = (typeof scenarioNames)[number];

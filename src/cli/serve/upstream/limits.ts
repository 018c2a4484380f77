/** What is usual before an upstream server. Times in milliseconds, sizes in bytes. */

import type { WaitingRoomOptions } from './waiting-room.ts';

/** `--upstream-connections`, for each process: less than what the system lets a process open, or a server take. */
export const DEFAULT_CONNECTIONS = 1024;
export const UPSTREAM_TIMEOUT = 120_000;
export const CONNECT_TIMEOUT = 10_000;
/** For the upstream server to answer a WebSocket upgrade. */
export const UPGRADE_TIMEOUT = 30_000;
export const QUEUE: WaitingRoomOptions = { size: 1024, patience: 10_000 };
/** In which a client is to move a little, or its place is not sure. */
export const SLOW_AFTER = 60_000;
/** Most answers are smaller. */
export const READ_AHEAD = 262_144;
/** Of all answers together: 256 that are as large as they may be. */
export const READ_AHEAD_MEMORY = 67_108_864;

/** What an agent tells, in words for people. */

import pc from 'picocolors';
import { printable } from '../../../certificates/distinguished-name.ts';
import type { AgentAlarm, AgentEvent } from '../../../node/agent/agent-events.ts';
import { ringEventText } from '../join.ts';

const alarms: Readonly<Record<AgentAlarm, string>> = {
  server_not_told: 'the server did not take its keys; tried again',
  server_absent:
    'the server does not run, or not where --pid-file or --socket point to; it will find its keys in the files',
  ended_key_in_server: 'a key that has ended is still in memory',
  keys_may_swap: 'swap was turned on: key files may get to a disk; turn it off, or mount the folder with noswap',
};

export function agentEventText(event: AgentEvent): string {
  switch (event.kind) {
    case 'told': {
      const texts = event.keys.map(({ key, role }) =>
        role === 'sealing' ? pc.green(`${key} seals`) : `${key} ${roles[role]}`,
      );
      return texts.length === 0
        ? pc.yellow('the server has no key of the ring')
        : `the server has: ${texts.join(', ')}`;
    }
    case 'not_told':
      return pc.red(`the server could not be told: ${printable(event.why)}`);
    case 'server_alarm':
      return pc.red(
        `alarm: ${alarms[event.alarm]}${event.detail === undefined ? '' : `: ${printable(event.detail)}`} (${event.alarm})`,
      );
    case 'server_alarm_over':
      return pc.green(`over: ${alarms[event.alarm]} (${event.alarm})`);
    default:
      return ringEventText(event);
  }
}

const roles = { waiting: 'is next', opening: 'opens' } as const;

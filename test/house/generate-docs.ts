/** Renders docs/errors.md and docs/state-machine.md from the tables that the code itself runs on. */

import { errorTable } from '../../src/errors.ts';
import {
  clientTransitions,
  connectedClientTransitions,
  connectedServerTransitions,
  serverTransitions,
} from '../../src/handshake/transitions.ts';
import { handshakeTypes } from '../../src/messages/code-points.ts';

type Table = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

/** By path relative to the project. */
export function renderDocs(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/errors.md', renderErrors()],
    ['docs/state-machine.md', renderStateMachine()],
  ]);
}

export function renderErrors(): string {
  const rows = Object.entries(errorTable).map(([code, row]) => {
    const { blame, section, summary } = row;
    const alert = 'alert' in row ? `\`${row.alert}\`` : '';
    return `| \`${code}\` | ${summary} | ${BLAME[blame]} | ${alert} | ${section} |`;
  });
  return `${GENERATED('src/errors.ts')}
# Errors

Every failure of Mayfly is a \`TLSError\`. Its \`code\` is stable; the text says who, what was expected and what came, and
never holds key bytes. "Whose fault" (\`error.blame\`) tells who has to change something. The alert (\`error.alert\`) is what
the peer is told before the connection ends; for \`TLS_ERR_ALERT_RECEIVED\` it is what the peer told us.

| code | meaning | whose fault | alert | rule |
|---|---|---|---|---|
${rows.join('\n')}
`;
}

export function renderStateMachine(): string {
  return `${GENERATED('src/handshake/transitions.ts')}
# State machine

States are named by what they wait for. A message that a state does not name is refused with \`unexpected_message\`
(\`TLS_ERR_UNEXPECTED_MESSAGE\`). Names in italics are no messages: the host starts the client and answers the questions
(needs) of the handshake. RFC 9846, Appendix A.

## Client

${renderMachine({ ...clientTransitions, ...connectedClientTransitions }, 'Start')}
## Server

${renderMachine({ ...serverTransitions, ...connectedServerTransitions }, 'ExpectClientHello')}`;
}

function renderMachine(table: Table, start: string): string {
  const arrows: string[] = [];
  const rows: string[] = [];
  for (const [state, events] of Object.entries(table)) {
    for (const [event, nexts] of Object.entries(events)) {
      arrows.push(...nexts.map((next) => `    ${state} --> ${next}: ${event}`));
      const shown = Object.hasOwn(handshakeTypes, event) ? `\`${event}\`` : `*${event}*`;
      rows.push(`| ${state} | ${shown} | ${nexts.join(', ')} |`);
    }
  }
  return `\`\`\`mermaid
stateDiagram-v2
    [*] --> ${start}
${arrows.join('\n')}
\`\`\`

| in state | on | to |
|---|---|---|
${rows.join('\n')}
`;
}

const GENERATED = (source: string) =>
  `<!-- Made from ${source} by test/house/generate-docs.ts: change that, then run the tests with MAYFLY_WRITE_DOCS=1. -->\n`;

const BLAME = {
  peer: 'the peer',
  local: 'Mayfly',
  config: 'the configuration',
  caller: 'the caller',
} as const;

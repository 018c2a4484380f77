import { Command } from 'commander';
export function connectCommand(): Command {
  return new Command('connect');
}

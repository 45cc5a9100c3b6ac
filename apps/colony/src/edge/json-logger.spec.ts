import { CoralError } from '@coral/errors';
import { beforeEach, describe, expect, it } from 'vitest';
import { describe as describeError, JsonLogger } from './json-logger.js';

describe('JsonLogger', () => {
  let lines: string[];
  let logger: JsonLogger;
  beforeEach(() => {
    lines = [];
    logger = new JsonLogger({ now: () => 0, monotonic: () => 0 }, 'info', (line) => lines.push(line));
  });

  it('writes one line of JSON, whatever is in the message', () => {
    logger.say('warn', 'a\nb\u001b[31m', { user: 'x\r\ny' });
    expect(lines).toHaveLength(1);
    expect(lines[0]?.trimEnd()).toMatch(/^[ -~]+$/);
    expect(JSON.parse(lines[0] as string)).toEqual({
      at: '1970-01-01T00:00:00.000Z',
      level: 'warn',
      message: 'a\nb\u001b[31m',
      user: 'x\r\ny',
    });
  });

  it("keeps the framework's chatter for debugging", () => {
    logger.log('Nest application successfully started', 'NestApplication');
    logger.verbose('x');
    expect(lines).toEqual([]);
    logger.error('it broke', 'stack', 'Somewhere');
    expect(JSON.parse(lines[0] as string)).toMatchObject({ level: 'error', message: 'it broke', context: 'Somewhere' });
  });

  it('tells the causes behind a failure', () => {
    const disk = new Error('no space left');
    const error = new CoralError({ kind: 'unavailable', reason: 'store', message: 'The store is full.', cause: disk });
    logger.failure('it failed', error, { request_id: '1' });
    const { error: told, request_id: id } = JSON.parse(lines[0] as string) as Record<string, string>;
    expect(id).toBe('1');
    expect(told).toContain('unavailable store: The store is full.\ncaused by: Error: no space left');
  });

  it('ends where causes go in circles', () => {
    const loop = new Error('round');
    loop.cause = loop;
    expect(describeError(loop).match(/caused by/g)).toHaveLength(7);
    expect(describeError('text')).toBe('text');
    expect(describeError(undefined)).toBe('');
  });
});

import { validateHeaderValue } from 'node:http';
import { classifyInboundRequest } from '@modelcontextprotocol/server';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readMessage, type ClientMessage } from './mcp-message.js';
import { fieldValue, headersFor } from './request-headers.js';

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
};
const message = (value: object): ClientMessage =>
  readMessage(Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...value })));
const own = (value: object, agreed?: string): Record<string, string> => {
  const { 'content-type': _type, accept: _accept, ...rest } = headersFor(message(value), agreed);
  return rest;
};

describe('headers of a message', () => {
  it.each([
    ['tools/call', { name: 'coral_query' }, 'coral_query'],
    ['prompts/get', { name: 'p' }, 'p'],
    ['resources/read', { uri: 'file:///ä' }, fieldValue('file:///ä')],
    ['tasks/cancel', { taskId: 't1' }, 't1'],
    ['tools/list', { name: 'no name of a thing' }, undefined],
    ['tools/call', { name: 7 }, undefined],
    ['constructor', { name: 'x' }, undefined],
  ])('say revision, method and name of %s %j', (method, params, name) => {
    expect(own({ id: 1, method, params: { ...params, _meta: meta } }, '2025-11-25')).toEqual({
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(name === undefined ? {} : { 'mcp-name': name }),
    });
  });

  it('are those that the official server finds to agree with the body', () => {
    const body = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'nämlich', _meta: meta } };
    const headers = own(body);
    const request = {
      httpMethod: 'POST',
      protocolVersionHeader: headers['mcp-protocol-version'],
      mcpMethodHeader: headers['mcp-method'],
      mcpNameHeader: headers['mcp-name'],
      body,
    };
    expect(classifyInboundRequest(request)).toMatchObject({ kind: 'modern' });
    expect(classifyInboundRequest({ ...request, mcpMethodHeader: 'tools/list' })).toMatchObject({ kind: 'reject' });
  });

  it('say for older clients what was agreed on, once it was', () => {
    expect(own({ id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25' } }, '2025-06-18')).toEqual({});
    expect(own({ id: 1, method: 'tools/list' })).toEqual({});
    expect(own({ id: 1, method: 'tools/list' }, '2025-11-25')).toEqual({ 'mcp-protocol-version': '2025-11-25' });
    expect(own({ id: 1, result: {} }, '2025-11-25')).toEqual({ 'mcp-protocol-version': '2025-11-25' });
  });

  it('can carry any text, and only one way back', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('', ' a', 'a\r\nb: c', '=?base64?eA==?=')),
        (text) => {
          fc.pre(text.isWellFormed());
          const value = fieldValue(text);
          validateHeaderValue('mcp-name', value);
          expect(value.trim()).toBe(value);
          const encoded = /^=\?base64\?(.*)\?=$/.exec(value)?.[1];
          expect(encoded === undefined ? value : Buffer.from(encoded, 'base64').toString()).toBe(text);
        },
      ),
    );
  });
});

/** The cheapest of the five tools, asked for everything: no agent is asked, and a nearly empty store answers in no time. */
export const cheapTool = 'coral_get_health';

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'bench', version: '1' },
};

function headersOf(method: string, token: string): Record<string, string> {
  return {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': method,
    authorization: `Bearer ${token}`,
  };
}

/** A request of revision 2026-07-28, the same for both servers to the byte but for its token. */
export function toolCall(token: string): { headers: Record<string, string>; body: string } {
  const params = { name: cheapTool, arguments: {}, _meta: meta };
  return {
    headers: { ...headersOf('tools/call', token), 'mcp-name': cheapTool },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }),
  };
}

export function toolsList(token: string): { headers: Record<string, string>; body: string } {
  return {
    headers: headersOf('tools/list', token),
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: meta } }),
  };
}

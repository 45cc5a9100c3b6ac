import { request } from 'node:https';

export interface PublicToken {
  access_token: string;
  expires_in: number;
  token_type: string;
}

/** RFC 8693: an API token for an access token that counts at the colony's public MCP door. */
export async function exchangeToken(endpoint: string, caPem: string, apiToken: string): Promise<PublicToken> {
  const form = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: apiToken,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    resource: `https://${endpoint}/mcp`,
  });
  const { status, body } = await post(`https://${endpoint}/oauth/token`, caPem, form.toString());
  if (status !== 200) throw new Error(`no token: ${status} ${body}`);
  return JSON.parse(body) as PublicToken;
}

function post(url: string, ca: string, form: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const sent = request(url, { method: 'POST', ca, headers }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    sent.on('error', reject);
    sent.end(form);
  });
}

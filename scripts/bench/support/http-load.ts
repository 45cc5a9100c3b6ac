import { request, type Agent, type RequestOptions } from 'node:http';
import { request as requestTls } from 'node:https';

/** Where to send the same POST again and again. */
export interface Target {
  /** With the agent that keeps its connections. */
  options: RequestOptions & { agent: Agent };
  tls: boolean;
  headers: Record<string, string>;
  body: string;
}

/** Sends `count` requests, `inFlight` at a time, and gives how long each took, ms. Any answer but a good one is a failure. */
export async function load(target: Target, count: number, inFlight: number): Promise<number[]> {
  const took: number[] = [];
  let sent = 0;
  const worker = async (): Promise<void> => {
    while (sent < count) {
      sent += 1;
      const started = performance.now();
      const answer = await post(target);
      took.push(performance.now() - started);
      if (
        answer.status !== 200 ||
        !answer.body.includes('"structuredContent"') ||
        answer.body.includes('"isError":true')
      )
        throw new Error(`a call was answered with ${answer.status}: ${answer.body.slice(0, 500)}`);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return took;
}

export function post({ options, tls, headers, body }: Target): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = (tls ? requestTls : request)({ ...options, method: 'POST', headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
      );
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

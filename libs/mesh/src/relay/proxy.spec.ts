import { describe, expect, it } from 'vitest';
import { parseProxy, proxyFor } from './proxy.js';

const proxy = 'http://proxy.example:3128';

describe('the proxy for a host', () => {
  it('is what HTTPS_PROXY says, lower case first', () => {
    expect(proxyFor('colony.example', 443, {})).toBeUndefined();
    expect(proxyFor('colony.example', 443, { HTTPS_PROXY: '' })).toBeUndefined();
    expect(proxyFor('colony.example', 443, { HTTPS_PROXY: proxy })).toEqual({
      secure: false,
      host: 'proxy.example',
      port: 3128,
    });
    const both = { HTTPS_PROXY: proxy, https_proxy: 'http://other.example:1' };
    expect(proxyFor('colony.example', 443, both)?.host).toBe('other.example');
  });

  it.each([
    ['*', 'colony.example', true],
    ['colony.example', 'colony.example', true],
    ['COLONY.example', 'colony.EXAMPLE.', true],
    ['example', 'colony.example', true],
    ['.example', 'colony.example', true],
    ['*.example', 'colony.example', true],
    ['olony.example', 'colony.example', false],
    ['colony.example.org', 'colony.example', false],
    ['other, colony.example', 'colony.example', true],
    ['other colony.example', 'colony.example', true],
    ['colony.example:443', 'colony.example', true],
    ['colony.example:8443', 'colony.example', false],
    ['10.1.2.3', '10.1.2.3', true],
    ['10.1.2.3', '10.1.2.30', false],
    ['10.0.0.0/8', '10.1.2.3', true],
    ['10.0.0.0/8', '11.1.2.3', false],
    ['10.0.0.0/33', '10.1.2.3', false],
    ['0.0.0.0/0', '10.1.2.3', true],
    ['10.1.2.3:443', '10.1.2.3', true],
    ['10.1.2.3:1', '10.1.2.3', false],
    ['fd00::/8', 'fd12::1', true],
    ['fd00::/8', 'fe80::1', false],
    ['[fd12::1]', 'fd12::1', true],
    ['[fd12::1]:443', 'fd12::1', true],
    ['[fd12::1]:1', 'fd12::1', false],
    ['fd12:0::1', 'fd12::1', true],
    ['.', 'colony.example', false],
    ['', 'colony.example', false],
  ])('with NO_PROXY %j: %s is exempt: %s', (list, host, exempt) => {
    const expected = exempt ? undefined : expect.objectContaining({ host: 'proxy.example' });
    expect(proxyFor(host, 443, { HTTPS_PROXY: proxy, NO_PROXY: list })).toEqual(expected);
    expect(proxyFor(host, 443, { HTTPS_PROXY: proxy, no_proxy: list, NO_PROXY: 'never' })).toEqual(expected);
  });
});

describe('the URL of a proxy', () => {
  it.each([
    ['http://proxy:3128', { secure: false, host: 'proxy', port: 3128 }],
    ['proxy:3128', { secure: false, host: 'proxy', port: 3128 }],
    ['http://proxy', { secure: false, host: 'proxy', port: 80 }],
    ['https://proxy', { secure: true, host: 'proxy', port: 443 }],
    ['http://[fd00::1]:8080/', { secure: false, host: 'fd00::1', port: 8080 }],
    ['http://ann:p%40ss%3A@proxy:1', { secure: false, host: 'proxy', port: 1, credentials: 'ann:p@ss:' }],
    ['http://ann@proxy:1', { secure: false, host: 'proxy', port: 1, credentials: 'ann:' }],
  ])('%s', (url, expected) => {
    expect(parseProxy(url)).toEqual(expected);
  });

  it.each(['socks5://proxy:1080', 'http://', 'http://proxy:99999', 'http://proxy:0', 'http://a:%zz@proxy:1'])(
    '%s is refused, and not repeated',
    (url) => {
      const refused = expect.objectContaining({
        kind: 'invalid_argument',
        reason: 'bad_proxy_url',
        where: 'HTTPS_PROXY',
        message: expect.not.stringContaining('zz'),
      });
      expect(() => parseProxy(url)).toThrow(refused);
    },
  );
});

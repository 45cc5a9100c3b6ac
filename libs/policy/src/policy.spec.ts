import type { CoralError } from '@coral/errors';
import { permissions, type Permission } from '@coral/model';
import { describe, expect, it } from 'vitest';
import { parsePolicy } from './index.js';

const text = `version: 1
groups:
  payments: [alex, jordan]
  empty: []
roles:
  developer:
    permissions: [read:metrics, read:topology]
  oncall:
    permissions: [read:metrics, read:live_data]
  auditor:
    permissions: [read:audit]
bindings:
  - role: developer
    users: [alex]
    groups: [payments]
  - role: oncall
    groups: [payments]
  - role: auditor
    users: [sam@example.com]
    groups: [empty]
`;
const policy = parsePolicy(text, '/etc/coral/policy.yaml');

describe('Policy', () => {
  it('allows what a binding grants and names the first binding in the file that does', () => {
    expect(policy.decide({ userId: 'alex' }, 'read:metrics')).toEqual({
      allowed: true,
      permission: 'read:metrics',
      rule: 'policy.yaml:13:5 role developer',
      reason: 'alex has read:metrics by policy.yaml:13:5 role developer.',
    });
    expect(policy.decide({ userId: 'jordan' }, 'read:live_data').rule).toBe('policy.yaml:16:5 role oncall');
  });

  it.each<[string, Permission, string]>([
    [
      'sam@example.com',
      'read:metrics',
      'sam@example.com lacks read:metrics: no role bound to this user (auditor) grants it.',
    ],
    ['nobody', 'read:health', 'nobody lacks read:health: no role is bound to this user.'],
    ['Alex', 'read:metrics', 'Alex lacks read:metrics: no role is bound to this user.'],
    ['', 'read:metrics', ' lacks read:metrics: no role is bound to this user.'],
    ['payments', 'read:metrics', 'payments lacks read:metrics: no role is bound to this user.'],
    ['group:payments', 'read:metrics', 'group:payments lacks read:metrics: no role is bound to this user.'],
  ])('denies %s %s by default', (userId, permission, reason) => {
    expect(policy.decide({ userId }, permission)).toEqual({ allowed: false, permission, rule: 'default deny', reason });
  });

  it('names the agent or service that was asked about', () => {
    const about = policy.decide({ userId: 'eve' }, 'read:live_data', { agentId: 'agt-1', service: 'web' });
    expect(about.reason).toBe('eve lacks read:live_data on agent agt-1: no role is bound to this user.');
  });

  it('denies words that are not permissions, CASL\'s own "manage" (anything) among them', () => {
    for (const word of ['manage', 'all', '*', 'read', 'read:*', '__proto__', 'constructor', 'toString', '']) {
      expect(policy.decide({ userId: 'alex' }, word as Permission).allowed).toBe(false);
    }
  });

  it('denies users named like parts of JavaScript', () => {
    for (const userId of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      for (const permission of permissions) expect(policy.decide({ userId }, permission).allowed).toBe(false);
      expect(policy.decide({ userId, groups: ['__proto__', 'constructor'] }, 'read:metrics').allowed).toBe(false);
      expect(policy.owns({ userId }, 'group:constructor')).toBe(false);
    }
  });

  it('counts groups that the credential vouches for', () => {
    expect(policy.decide({ userId: 'lee', groups: ['payments'] }, 'read:live_data').allowed).toBe(true);
    expect(policy.decide({ userId: 'lee', groups: ['pay'] }, 'read:live_data').allowed).toBe(false);
    expect(policy.decide({ userId: 'lee', groups: ['empty'] }, 'read:audit').allowed).toBe(true);
  });

  it('lists roles in the order of the file and permissions in the order of the table', () => {
    expect(policy.rolesOf({ userId: 'alex' })).toEqual(['developer', 'oncall']);
    expect(policy.permissionsOf({ userId: 'alex' })).toEqual(['read:metrics', 'read:live_data', 'read:topology']);
    expect(policy.permissionsOf({ userId: 'eve' })).toEqual([]);
  });

  it.each<[string, string[] | undefined, string, boolean]>([
    ['alex', undefined, 'alex', true],
    ['alex', undefined, 'group:payments', true],
    ['lee', ['payments'], 'group:payments', true],
    ['lee', undefined, 'group:payments', false],
    ['alex', undefined, 'jordan', false],
    ['alex', undefined, 'payments', false],
    ['group:payments', undefined, 'group:payments', false],
    ['', undefined, '', false],
    ['alex', undefined, 'ALEX', false],
  ])('says whether %s (%j) owns what %s owns: %s', (userId, groups, owner, expected) => {
    expect(policy.owns(groups ? { userId, groups } : { userId }, owner)).toBe(expected);
  });

  it('is known by the SHA-256 of its text', () => {
    expect(policy.revision).toMatch(/^[0-9a-f]{64}$/);
    expect(parsePolicy(`${text}# x\n`, 'p').revision).not.toBe(policy.revision);
    expect(parsePolicy(text, 'elsewhere.yaml').revision).toBe(policy.revision);
  });
});

describe('parsePolicy', () => {
  const valid = 'version: 1\nroles: {dev: {permissions: [read:metrics]}}\nbindings: [{role: dev, users: [alex]}]\n';
  const refusal = (bad: string): CoralError => {
    try {
      parsePolicy(bad, 'policy.yaml');
    } catch (thrown) {
      return thrown as CoralError;
    }
    throw new Error(`was accepted: ${bad}`);
  };

  it('takes the least policy there is', () => {
    expect(parsePolicy(valid, 'policy.yaml').decide({ userId: 'alex' }, 'read:metrics').allowed).toBe(true);
  });

  it.each<[string, string, string]>([
    ['', 'policy.yaml:1:1', 'version: missing: expected 1'],
    ['# only a comment\n', 'policy.yaml:1:1', 'version: missing: expected 1'],
    ['version: 1\n', 'policy.yaml:1:1', 'roles: missing: expected a map of names'],
    [valid.replace('version: 1', 'version: 2'), 'policy.yaml:1:10', 'version: expected 1, got a number'],
    [
      valid.replace('{dev: {permissions: [read:metrics]}}', '{}'),
      'policy.yaml:2:8',
      'roles: empty: no role, so nobody could do anything',
    ],
    [
      valid.replace('[read:metrics]', '[]'),
      'policy.yaml:2:28',
      'roles.dev.permissions: empty: a role without permissions grants nothing; remove it',
    ],
    [
      valid.replace('[{role: dev, users: [alex]}]', '[]'),
      'policy.yaml:3:11',
      'bindings: empty: no binding, so nobody could do anything',
    ],
    [valid.replace(', users: [alex]', ''), 'policy.yaml:3:12', 'bindings[0]: binds nobody; add users or groups'],
    [valid.replace('users: [alex]', 'users: []'), 'policy.yaml:3:12', 'bindings[0]: binds nobody; add users or groups'],
    [
      valid.replace('read:metrics', 'read:metric'),
      'policy.yaml:2:29',
      'roles.dev.permissions[0]: expected one of read:metrics, read:live_data, read:topology, read:events, read:health, read:audit, manage:leases, got "read:metric"; did you mean read:metrics?',
    ],
    [
      valid.replace('read:metrics', '"*"'),
      'policy.yaml:2:29',
      'roles.dev.permissions[0]: expected one of read:metrics, read:live_data, read:topology, read:events, read:health, read:audit, manage:leases, got "*"',
    ],
    [
      valid.replace('role: dev', 'role: dve'),
      'policy.yaml:3:19',
      'bindings[0].role: unknown role "dve"; did you mean dev?',
    ],
    [
      valid.replace('users: [alex]', 'groups: [ops]'),
      'policy.yaml:3:33',
      'bindings[0].groups[0]: unknown group "ops"; known here: none',
    ],
    [
      valid.replace('users:', 'user:'),
      'policy.yaml:3:24',
      'bindings[0].user: unknown key; did you mean bindings[0].users?',
    ],
    [valid.replace('bindings:', 'binding:'), 'policy.yaml:3:1', 'binding: unknown key; did you mean bindings?'],
    [
      valid.replace('permissions:', 'permision:'),
      'policy.yaml:2:15',
      'roles.dev.permision: unknown key; did you mean roles.dev.permissions?',
    ],
    [
      valid.replace('users: [alex]', 'users: [alex], conditions: {}'),
      'policy.yaml:3:39',
      'bindings[0].conditions: unknown key; known here: role, users, groups',
    ],
    [valid.replace('[alex]', 'alex'), 'policy.yaml:3:31', 'bindings[0].users: expected a list, got text'],
    [
      valid.replace('[alex]', '["a b"]'),
      'policy.yaml:3:32',
      'bindings[0].users[0]: user names have no spaces, control or invisible characters',
    ],
    [
      valid.replace('[alex]', '["group:ops"]'),
      'policy.yaml:3:32',
      'bindings[0].users[0]: a user name cannot begin with "group:"; list groups under groups',
    ],
    [
      valid.replace('[alex]', `[${'a'.repeat(256)}]`),
      'policy.yaml:3:32',
      'bindings[0].users[0]: user names have at most 255 characters',
    ],
    [
      valid.replace('dev:', '"d v":'),
      'policy.yaml:2:9',
      'roles["d v"]: names are letters, digits, ".", "_" and "-", and begin with a letter or digit',
    ],
    [`${valid}version: 1\n`, 'policy.yaml:4:1', 'version: this key stands here twice, first at line 1'],
    [
      valid.slice(0, -5),
      'policy.yaml:3:35',
      'not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
  ])('refuses %j at %s', (bad, where, problem) => {
    const error = refusal(bad);
    expect(error).toMatchObject({ kind: 'failed_precondition', reason: 'bad_config', where });
    expect(error.message.split('\n')[0]).toBe(`${where}: ${problem}`);
  });

  it.each([
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'valueOf',
    'constructor.prototype',
    'toString.call',
    '__lookupGetter__',
  ])('refuses %s as a role, a group, a user and a key', (word) => {
    const own = Object.getOwnPropertyNames(Object.prototype).length;
    for (const bad of [
      valid.replaceAll('dev', `"${word}"`),
      valid.replace('roles:', `groups: {"${word}": [alex]}\nroles:`),
      valid.replace('[alex]', `["${word}"]`),
      valid.replace('roles:', `groups: {ops: ["${word}"]}\nroles:`),
      valid.replace('users: [alex]', `users: [alex], groups: ["${word}"]`),
      valid.replace('users: [alex]', `users: [alex], "${word}": {"$eq": 1}`),
      `${valid}"${word}": {admin: true}\n`,
    ]) {
      expect(refusal(bad)).toMatchObject({ kind: 'failed_precondition' });
    }
    expect(Object.getOwnPropertyNames(Object.prototype)).toHaveLength(own);
  });
});

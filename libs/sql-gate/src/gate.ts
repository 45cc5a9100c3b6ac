import { CoralError } from '@coral/errors';
import {
  allowedExpressionClasses,
  allowedFunctions,
  allowedNodeTypes,
  allowedTableFunctions,
  allowedTypes,
  gateLimits,
} from './allowed.js';

/** What `json_serialize_sql` gives: DuckDB's parsed, unbound tree. Nothing has been looked up or read at this point. */
export interface SerializedSql {
  error: boolean;
  error_type?: string;
  error_message?: string;
  position?: string;
  statements?: { node: unknown; named_param_map?: unknown }[];
}

type Tree = Record<string, unknown>;

export function refused(what: string, allowed: string, offset?: number): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'sql_refused',
    message: `This SQL is refused: ${what}.`,
    next: allowed,
    where: offset === undefined ? 'sql' : `sql, character ${offset + 1}`,
  });
}

/** Before anything parses it: the parser itself can be made to eat memory by text alone. */
export function checkSize(sql: string): void {
  const bytes = Buffer.byteLength(sql);
  if (bytes > gateLimits.maxSqlBytes) {
    throw refused(`it is ${bytes} bytes long`, `Write at most ${gateLimits.maxSqlBytes} bytes.`);
  }
}

/**
 * Lets a statement through only when every part of its tree is on a list: one SELECT, over the published views and its
 * own CTEs, with functions known to read nothing but their arguments. Runs before prepare, because preparing already
 * reads files for some statements.
 */
export function checkTree(parsed: SerializedSql, views: readonly string[]): void {
  if (parsed.error) throw parserComplaint(parsed);
  const statements = parsed.statements ?? [];
  if (statements.length !== 1) {
    throw refused(`it holds ${statements.length} statements`, 'Write exactly one SELECT.');
  }
  const [statement] = statements;
  new Walk(views).query(statement?.node as Tree, new Set(), 0);
}

function parserComplaint(parsed: SerializedSql): CoralError {
  if (parsed.error_type === 'not implemented') {
    return refused(
      'only SELECT is allowed',
      'Write one SELECT (or WITH … SELECT, or FROM …) over the published views.',
    );
  }
  const offset = parsed.position === undefined ? '' : ` at character ${Number(parsed.position) + 1}`;
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'sql_invalid',
    message: `This SQL does not parse${offset}: ${parsed.error_message ?? 'syntax error'}`,
    next: 'Correct the statement; the dialect is DuckDB’s.',
    where: 'sql',
  });
}

const functionsWithoutParentheses = new Set([
  'current_user',
  'current_role',
  'session_user',
  'user',
  'current_catalog',
  'current_schema',
]);

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);

class Walk {
  readonly #views: ReadonlySet<string>;
  readonly #names: string;
  #joins = 0;
  #nodes = 0;

  constructor(views: readonly string[]) {
    this.#views = new Set(views.map((view) => view.toLowerCase()));
    this.#names = views.join(', ');
  }

  /** A query node opens a scope: its CTEs are names for itself and for the CTEs after them, and for nobody else. */
  query(node: Tree, outer: ReadonlySet<string>, depth: number): void {
    const scope = new Set(outer);
    const map = isTree(node['cte_map']) ? node['cte_map']['map'] : undefined;
    for (const entry of Array.isArray(map) ? (map as { key: string; value: unknown }[]) : []) {
      this.#descend(entry.value, scope, depth + 1);
      scope.add(entry.key.toLowerCase());
    }
    const { cte_map: _done, ...rest } = node;
    this.#node(rest, scope, depth);
  }

  #descend(value: unknown, scope: ReadonlySet<string>, depth: number): void {
    if (Array.isArray(value)) {
      for (const item of value) this.#descend(item, scope, depth + 1);
      return;
    }
    if (!isTree(value)) return;
    if (typeof value['type'] === 'string' && value['type'].endsWith('_NODE')) this.query(value, scope, depth);
    else this.#node(value, scope, depth);
  }

  #node(node: Tree, scope: ReadonlySet<string>, depth: number): void {
    this.#nodes += 1;
    if (depth > gateLimits.maxDepth || this.#nodes > gateLimits.maxTreeNodes) {
      throw refused('it is nested too deeply or too large', 'Ask a smaller question.');
    }
    const at =
      typeof node['query_location'] === 'number' && node['query_location'] < 1e9 ? node['query_location'] : undefined;
    if (typeof node['class'] === 'string') {
      this.#expression(node, at);
      // A constant's `value` is data of the stranger's, not tree.
      if (node['class'] === 'CONSTANT') return;
    } else if (typeof node['type'] === 'string') {
      this.#reference(node, scope, at);
    }
    for (const [key, child] of Object.entries(node)) {
      if (key === 'cast_type') this.#type(child, at);
      else this.#descend(child, scope, depth + 1);
    }
  }

  #expression(node: Tree, at: number | undefined): void {
    const kind = String(node['class']);
    if (!allowedExpressionClasses.has(kind)) {
      throw refused(`${kind.toLowerCase()} expressions are not allowed`, 'Use plain expressions over columns.', at);
    }
    if (kind === 'FUNCTION' || kind === 'WINDOW') this.#function(node, allowedFunctions, at);
    if (kind === 'COLUMN_REF') this.#column(node, at);
  }

  #function(node: Tree, allowed: ReadonlySet<string>, at: number | undefined): void {
    const name = textOf(node['function_name']).toLowerCase();
    const schema = textOf(node['schema']);
    const catalog = textOf(node['catalog']);
    if (!allowed.has(name) || (schema !== '' && schema !== 'main') || catalog !== '') {
      throw refused(
        `the function ${name} is not on the list`,
        'Use aggregates, quantiles, and date, text, list or JSON functions of their arguments.',
        at,
      );
    }
  }

  /** A bare name that is no column is bound as a function without parentheses: `current_user` and its like. */
  #column(node: Tree, at: number | undefined): void {
    const names = node['column_names'];
    if (Array.isArray(names) && names.length === 1 && functionsWithoutParentheses.has(String(names[0]).toLowerCase())) {
      throw refused(`${String(names[0])} is not on the list`, 'Use columns of the published views.', at);
    }
  }

  #reference(node: Tree, scope: ReadonlySet<string>, at: number | undefined): void {
    const type = String(node['type']);
    if (!allowedNodeTypes.has(type)) {
      throw refused(`${type.toLowerCase().replaceAll('_', ' ')} is not allowed here`, 'Write a plain SELECT.', at);
    }
    if (type === 'JOIN' && ++this.#joins > gateLimits.maxJoins) {
      throw refused(`it joins more than ${gateLimits.maxJoins} times`, 'Join fewer views.', at);
    }
    if (type === 'BASE_TABLE') this.#table(node, scope, at);
    if (type === 'TABLE_FUNCTION') this.#function(node['function'] as Tree, allowedTableFunctions, at);
  }

  #table(node: Tree, scope: ReadonlySet<string>, at: number | undefined): void {
    const name = String(node['table_name']);
    const qualified = textOf(node['catalog_name']) !== '' || textOf(node['schema_name']) !== '';
    const known = scope.has(name.toLowerCase()) || this.#views.has(name.toLowerCase());
    if (qualified || !known) {
      throw refused(`there is no view ${name.slice(0, 80)} to read`, `Read from: ${this.#names}.`, at);
    }
  }

  #type(type: unknown, at: number | undefined): void {
    if (!isTree(type)) return;
    const info = isTree(type['type_info']) ? type['type_info'] : {};
    const name = String(type['id'] === 'UNBOUND' ? info['name'] : type['id']).toUpperCase();
    if (!allowedTypes.has(name)) throw refused(`a cast to ${name} is not allowed`, 'Cast to a plain type.', at);
    this.#type(info['child_type'], at);
  }
}

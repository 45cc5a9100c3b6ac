/** A place in a text file, as editors count: lines and columns start at 1. */
export interface SourceLocation {
  line: number;
  col: number;
}

export type YamlPath = readonly (string | number)[];

/** `colony.yaml:3:11`, the form editors and terminals turn into a link. */
export function formatLocation(file: string, at: SourceLocation): string {
  return `${file}:${at.line}:${at.col}`;
}

/** `mcp_server.tools[1]`; a key that is not a plain word is quoted, so that it cannot carry control characters. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    const word = String(part).slice(0, 80);
    if (!/^[A-Za-z_][\w-]*$/.test(word)) return `${text}[${JSON.stringify(word)}]`;
    return text === '' ? word : `${text}.${word}`;
  }, '');
}

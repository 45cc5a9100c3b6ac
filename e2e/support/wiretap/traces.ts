/** Codes of RFC 7541, Appendix B, for the characters that our secrets are made of: HTTP/2 sends header values in them. */
const huffman = new Map<string, string>();
const codes: readonly (readonly [number, string, string])[] = [
  // Bits, the characters in the order of their codes, the code of the first one.
  [5, '012aceiost', '00000'],
  [6, '%-./3456789=A_bdfghlmnpru', '010101'],
  [7, ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz', '1011100'],
];
for (const [bits, characters, first] of codes) {
  for (const [i, character] of [...characters].entries()) {
    huffman.set(character, (Number.parseInt(first, 2) + i).toString(2).padStart(bits, '0'));
  }
}
huffman.set('X', '11111100').set('Z', '11111101');

/** Every way the bytes of a secret may look in transit or on a disk: plain, encoded, inside a longer encoded text. */
function formsOf(secret: string): Map<string, Buffer> {
  const plain = Buffer.from(secret);
  const forms = new Map<string, Buffer>([
    ['plain', plain],
    ['UTF-16', Buffer.from(secret, 'utf16le')],
    ['hex', Buffer.from(plain.toString('hex'))],
    ['HEX', Buffer.from(plain.toString('hex').toUpperCase())],
  ]);
  // Inside a longer text the three ways of falling into groups of three bytes; the edges belong to the neighbours too.
  for (const shift of [0, 1, 2]) {
    const whole = Buffer.concat([Buffer.alloc(shift), plain]);
    const inner = whole.subarray(shift === 0 ? 0 : 3, whole.length - (whole.length % 3));
    forms.set(`base64 +${shift}`, Buffer.from(inner.toString('base64')));
    forms.set(`base64url +${shift}`, Buffer.from(inner.toString('base64url')));
  }
  const bits = [...secret].map((character) => huffman.get(character) ?? missing(character)).join('');
  for (let shift = 0; shift < 8; shift += 1) {
    const bytes = bits.slice(shift).match(/.{8}/g) ?? [];
    forms.set(`HPACK +${shift}`, Buffer.from(bytes.map((byte) => Number.parseInt(byte, 2))));
  }
  return forms;
}

function missing(character: string): never {
  throw new Error(`no Huffman code is known here for ${JSON.stringify(character)}: choose a secret without it`);
}

/** The forms in which `secret` occurs in `bytes`; empty when it does not. */
export function tracesOf(secret: string, bytes: Buffer): string[] {
  return [...formsOf(secret)].filter(([, form]) => bytes.includes(form)).map(([name]) => name);
}

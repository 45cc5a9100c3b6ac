/** `size` bytes nobody can foretell, in a Buffer of their own (not pooled: they are wiped after use). */
export type RandomBytes = (size: number) => Buffer;

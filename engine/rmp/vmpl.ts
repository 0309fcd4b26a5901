/** Virtual machine privilege level: 0 is the most privileged one. */
export type Vmpl = 0 | 1 | 2 | 3;

/** The number as a VMPL, or undefined if there is no such level. */
export function asVmpl(n: number): Vmpl | undefined {
  return n === 0 || n === 1 || n === 2 || n === 3 ? n : undefined;
}

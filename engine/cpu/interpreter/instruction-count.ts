import { LEFT } from '../state/layout.js';

/**
 * Exact count of instructions by slices. Generated code counts down in LEFT, by whole blocks when it enters them:
 * whoever leaves a block early gives back what did not run.
 */
export class InstructionCount {
  /** Instructions executed before this slice, and the length of this slice. */
  private before = 0;
  private slice = 0;

  constructor(private readonly view: DataView) {}

  /** Instructions left in this slice. */
  get left(): number {
    return this.view.getInt32(LEFT, true);
  }

  /** Instructions executed; blocks that have been entered count as a whole. */
  get executed(): number {
    return this.before + this.slice - this.left;
  }

  startSlice(length: number): void {
    this.before = this.executed;
    this.slice = length;
    this.view.setInt32(LEFT, length, true);
  }

  /** Lets the slice end with what has been executed. */
  endSlice(): void {
    this.startSlice(0);
  }

  giveBack(instructions: number): void {
    this.view.setInt32(LEFT, this.left + instructions, true);
  }

  /** Time that passes without an instruction in this slice. */
  add(instructions: number): void {
    this.before += instructions;
  }
}

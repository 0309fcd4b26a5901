import type { BoardEnv } from './board-env.js';

/**
 * Keyboard controller 8042 with a PS/2 keyboard and a PS/2 mouse on which nobody types or moves. Sources: QEMU
 * hw/input/{pckbd,ps2}.c; IBM PS/2 Hardware Interface Technical Reference, Keyboard and Auxiliary Device Controller.
 */
export interface I8042 {
  status: number;
  mode: number;
  outputPort: number;
  /** The command that waits for its byte at port 0x60; 0: none. */
  command: number;
  /** Answers that wait to be read; `aux`: of the mouse. */
  readonly queue: { readonly value: number; readonly aux: boolean }[];
  /** A command of the keyboard or mouse that waits for its byte; 0: none. */
  keyboardCommand: number;
  mouseCommand: number;
  scancodeSet: number;
}

const OUTPUT_FULL = 0x01;
const SELF_TESTED = 0x04;
const LAST_WAS_COMMAND = 0x08;
const UNLOCKED = 0x10;
const AUX_FULL = 0x20;
const KEYBOARD_INTERRUPT = 0x01;
const MOUSE_INTERRUPT = 0x02;
const DISABLE_KEYBOARD = 0x10;
const DISABLE_MOUSE = 0x20;
const KEYBOARD_IRQ = 1;
const MOUSE_IRQ = 12;
const ACK = 0xfa;
const SELF_TEST_OK = 0xaa;
const OUTPUT_A20 = 0x02;

export function createI8042(): I8042 {
  return {
    status: LAST_WAS_COMMAND | UNLOCKED,
    mode: KEYBOARD_INTERRUPT | MOUSE_INTERRUPT,
    outputPort: 0xcf,
    command: 0,
    queue: [],
    keyboardCommand: 0,
    mouseCommand: 0,
    scancodeSet: 2,
  };
}

/** The next answer into the output buffer, with its status bits and interrupt. */
function update(state: I8042, env: BoardEnv): void {
  const [first] = state.queue;
  state.status &= ~(OUTPUT_FULL | AUX_FULL);
  if (first) state.status |= first.aux ? OUTPUT_FULL | AUX_FULL : OUTPUT_FULL;
  const { mode } = state;
  env.setIrq(KEYBOARD_IRQ, first !== undefined && !first.aux && (mode & KEYBOARD_INTERRUPT) !== 0);
  env.setIrq(MOUSE_IRQ, first?.aux === true && (mode & MOUSE_INTERRUPT) !== 0);
}

export function readI8042Data(state: I8042, env: BoardEnv): number {
  const value = state.queue.shift()?.value ?? 0;
  update(state, env);
  return value;
}

export function readI8042Status({ status }: I8042): number {
  return status;
}

/** Port 0x64. True: the reset line of the processor was pulled. */
export function writeI8042Command(state: I8042, value: number, env: BoardEnv): boolean {
  const answer = (byte: number): void => {
    state.queue.push({ value: byte, aux: false });
  };
  state.command = 0;
  switch (value) {
    case 0x20:
      answer(state.mode);
      break;
    case 0x60:
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xd4:
      state.command = value;
      break;
    case 0xa7:
      state.mode |= DISABLE_MOUSE;
      break;
    case 0xa8:
      state.mode &= ~DISABLE_MOUSE;
      break;
    case 0xa9:
    case 0xab:
      answer(0);
      break;
    case 0xaa:
      state.status |= SELF_TESTED;
      answer(0x55);
      break;
    case 0xad:
      state.mode |= DISABLE_KEYBOARD;
      break;
    case 0xae:
      state.mode &= ~DISABLE_KEYBOARD;
      break;
    case 0xc0:
      answer(0x80);
      break;
    case 0xd0:
      answer(state.outputPort);
      break;
    case 0xdd:
      state.outputPort &= ~OUTPUT_A20;
      break;
    case 0xdf:
      state.outputPort |= OUTPUT_A20;
      break;
    default:
      // 0xF0 to 0xFF pulse output lines; bit 0, when clear, is the reset line.
      if (value >= 0xf0 && (value & 1) === 0) return true;
      break;
  }
  update(state, env);
  return false;
}

/** Port 0x60. True: the reset line was pulled. */
export function writeI8042Data(state: I8042, value: number, env: BoardEnv): boolean {
  const { command } = state;
  state.command = 0;
  switch (command) {
    case 0x60:
      state.mode = value;
      break;
    case 0xd1:
      state.outputPort = value;
      if ((value & 1) === 0) return true;
      break;
    case 0xd2:
      state.queue.push({ value, aux: false });
      break;
    case 0xd3:
      state.queue.push({ value, aux: true });
      break;
    case 0xd4:
      for (const byte of mouse(state, value)) state.queue.push({ value: byte, aux: true });
      break;
    default:
      state.mode &= ~DISABLE_KEYBOARD;
      for (const byte of keyboard(state, value)) state.queue.push({ value: byte, aux: false });
      break;
  }
  update(state, env);
  return false;
}

const KEYBOARD_ID = [0xab, 0x83];

/** What the keyboard answers to a byte. */
function keyboard(state: I8042, value: number): number[] {
  const { keyboardCommand } = state;
  state.keyboardCommand = 0;
  if (keyboardCommand === 0xf0) {
    if (value === 0) return [ACK, state.scancodeSet];
    if (value <= 3) state.scancodeSet = value;
    return [ACK];
  }
  if (keyboardCommand !== 0) return [ACK];
  switch (value) {
    case 0xed:
    case 0xf0:
    case 0xf3:
      state.keyboardCommand = value;
      return [ACK];
    case 0xee:
      return [0xee];
    case 0xf2:
      return [ACK, ...KEYBOARD_ID];
    case 0xf4:
    case 0xf5:
    case 0xf6:
      return [ACK];
    case 0xff:
      state.scancodeSet = 2;
      return [ACK, SELF_TEST_OK];
    default:
      return [0xfe];
  }
}

function mouse(state: I8042, value: number): number[] {
  const { mouseCommand } = state;
  state.mouseCommand = 0;
  if (mouseCommand !== 0) return [ACK];
  switch (value) {
    case 0xe8:
    case 0xf3:
      state.mouseCommand = value;
      return [ACK];
    case 0xe9:
      return [ACK, 0, 2, 100];
    case 0xeb:
      return [ACK, 8, 0, 0];
    case 0xf2:
      return [ACK, 0];
    case 0xff:
      return [ACK, SELF_TEST_OK, 0];
    default:
      return [ACK];
  }
}

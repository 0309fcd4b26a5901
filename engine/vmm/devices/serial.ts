/**
 * 16550A serial port as QEMU has it (hw/char/serial.c): its registers; the line is always ready to send. Registers: TI
 * PC16550D data sheet.
 */
export interface SerialPort {
  divisor: number;
  ier: number;
  fcr: number;
  lcr: number;
  mcr: number;
  scratch: number;
  /** Bytes that wait to be read: the receive FIFO, or the one register without it. */
  readonly received: number[];
  /** Input for which there is no room yet. */
  readonly waiting: number[];
  /** The transmitter has become empty, and IIR has not been read since. */
  emptied: boolean;
}

const LCR_DLAB = 0x80;
const MCR_OUT2 = 0x08;
const MCR_LOOP = 0x10;
const IER_RECEIVED = 1;
const IER_TRANSMITTER = 2;
const FCR_ENABLE = 1;
const FCR_CLEAR_RECEIVER = 2;
const LSR_DATA = 1;
/** Transmit holding register and transmitter are empty. */
const LSR_EMPTY = 0x60;
/** CTS, DSR and DCD. */
const MSR_CONNECTED = 0xb0;

export function createSerialPort(): SerialPort {
  // 9600 baud after reset.
  return { divisor: 12, ier: 0, fcr: 0, lcr: 0, mcr: MCR_OUT2, scratch: 0, received: [], waiting: [], emptied: false };
}

/** `register`: 0 to 7. */
export function readSerial(port: SerialPort, register: number): number {
  const dlab = (port.lcr & LCR_DLAB) !== 0;
  switch (register) {
    case 0:
      return dlab ? port.divisor & 0xff : receive(port);
    case 1:
      return dlab ? port.divisor >> 8 : port.ier;
    case 2:
      return interruptId(port);
    case 3:
      return port.lcr;
    case 4:
      return port.mcr;
    case 5:
      return LSR_EMPTY | (port.received.length > 0 ? LSR_DATA : 0);
    case 6:
      return modemStatus(port);
    default:
      return port.scratch;
  }
}

function receive(port: SerialPort): number {
  const value = port.received.shift() ?? 0;
  refill(port);
  return value;
}

const FIFO = 16;

function refill({ fcr, mcr, received, waiting }: SerialPort): void {
  // In loopback the line is cut off.
  if ((mcr & MCR_LOOP) !== 0) return;
  const room = (fcr & FCR_ENABLE) === 0 ? 1 : FIFO;
  while (received.length < room && waiting.length > 0) received.push(waiting.shift() ?? 0);
}

/** Bytes that come in over the line; whoever calls looks at {@link serialInterrupt} afterwards. */
export function serialReceive(port: SerialPort, bytes: Iterable<number>): void {
  port.waiting.push(...bytes);
  refill(port);
}

/** The interrupt line. */
export function serialInterrupt({ ier, received, emptied }: SerialPort): boolean {
  return ((ier & IER_RECEIVED) !== 0 && received.length > 0) || ((ier & IER_TRANSMITTER) !== 0 && emptied);
}

function interruptId(port: SerialPort): number {
  const fifo = (port.fcr & FCR_ENABLE) === 0 ? 0 : 0xc0;
  if ((port.ier & IER_RECEIVED) !== 0 && port.received.length > 0) return fifo | 4;
  if ((port.ier & IER_TRANSMITTER) === 0 || !port.emptied) return fifo | 1;
  port.emptied = false;
  return fifo | 2;
}

/** In loopback the outputs DTR, RTS, OUT1 and OUT2 come back as DSR, CTS, RI and DCD. */
function modemStatus({ mcr }: SerialPort): number {
  if ((mcr & MCR_LOOP) === 0) return MSR_CONNECTED;
  return ((mcr & 0x0c) << 4) | ((mcr & 2) << 3) | ((mcr & 1) << 5);
}

/** The byte that went out, if one did. */
export function writeSerial(port: SerialPort, register: number, value: number): number | undefined {
  const dlab = (port.lcr & LCR_DLAB) !== 0;
  switch (register) {
    case 0:
      if (dlab) port.divisor = (port.divisor & 0xff00) | value;
      else return transmit(port, value);
      break;
    case 1:
      if (dlab) port.divisor = (port.divisor & 0xff) | (value << 8);
      else {
        // The transmitter is empty already: enabling its interrupt raises it.
        if ((value & ~port.ier & IER_TRANSMITTER) !== 0) port.emptied = true;
        port.ier = value & 0x0f;
      }
      break;
    case 2:
      if (((value ^ port.fcr) & FCR_ENABLE) !== 0 || (value & FCR_CLEAR_RECEIVER) !== 0) port.received.length = 0;
      port.fcr = value & 0xc9;
      refill(port);
      break;
    case 3:
      port.lcr = value;
      break;
    case 4:
      port.mcr = value & 0x1f;
      refill(port);
      break;
    case 7:
      port.scratch = value;
      break;
    default:
      // LSR and MSR are read-only.
      break;
  }
  return undefined;
}

function transmit(port: SerialPort, value: number): number | undefined {
  port.emptied = true;
  if ((port.mcr & MCR_LOOP) === 0) return value;
  port.received.push(value);
  return undefined;
}

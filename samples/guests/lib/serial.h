/* The serial port 0x3f8 (16550) and the debug console 0x402 of QEMU. */
#pragma once

#include <stddef.h>

/* From now on print() writes to the serial port. */
void open_serial(void);

/* Raw bytes to the debug console, as one string instruction. */
void debug_console(const char *text, size_t length);

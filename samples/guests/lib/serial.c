#include "serial.h"

#include "cpu.h"
#include "print.h"

#define PORT 0x3f8
#define DEBUG_CONSOLE 0x402

enum { DATA = 0, INTERRUPT_ENABLE = 1, FIFO_CONTROL = 2, LINE_CONTROL = 3, MODEM_CONTROL = 4, LINE_STATUS = 5 };
enum { TRANSMITTER_EMPTY = 0x20, FIFO = 16 };

void open_serial(void)
{
    out8(PORT + INTERRUPT_ENABLE, 0);
    out8(PORT + LINE_CONTROL, 0x80); /* divisor latch: 115200 baud */
    out8(PORT + DATA, 1);
    out8(PORT + INTERRUPT_ENABLE, 0);
    out8(PORT + LINE_CONTROL, 0x03); /* 8 bits, no parity, 1 stop bit */
    out8(PORT + FIFO_CONTROL, 0x07); /* enabled and empty */
    out8(PORT + MODEM_CONTROL, 0x03);
    this_cpu()->console = true;
}

/* Each IN and OUT is an exit: the state of the line is read once for each load of the transmitter's FIFO. */
static void serial_write(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        for (unsigned tries = 10000; i % FIFO == 0 && tries && !(in8(PORT + LINE_STATUS) & TRANSMITTER_EMPTY); tries--)
            pause();
        out8(PORT + DATA, (uint8_t)text[i]);
    }
}

void print(const char *text, ...)
{
    if (!this_cpu()->console)
        return;
    char line[201];
    va_list values;
    va_start(values, text);
    size_t length = format(line, sizeof(line), text, values);
    va_end(values);
    serial_write(line, length);
}

void print_bytes(const char *indent, const void *bytes, size_t count, size_t width)
{
    const uint8_t *at = bytes;
    while (count) {
        char hex[2 * 64 + 1];
        size_t now = count < width ? count : width;
        to_hex(hex, at, now);
        hex[2 * now] = 0;
        print("%s%s\n", indent, hex);
        at += now;
        count -= now;
    }
}

void debug_console(const char *text, size_t length)
{
    out8_string(DEBUG_CONSOLE, text, length);
}

/* Text for the serial port. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A small part of printf: %s, %c, %u, %x, with l for 64 bits, a width and leading zeros. Returns the length without the
 * final zero; what does not fit is cut off.
 */
size_t format(char *to, size_t size, const char *text, va_list values);

/* Up to 200 characters. Nothing happens before open_serial. */
__attribute__((format(printf, 1, 2))) void print(const char *text, ...);

/* Bytes in hex, `width` a line, each line after `indent`. */
void print_bytes(const char *indent, const void *bytes, size_t count, size_t width);

/* 2 * count digits. */
void to_hex(char *to, const uint8_t *bytes, size_t count);

#include "print.h"

static const char digits[] = "0123456789abcdef";

struct target {
    char *to;
    size_t size;
    size_t length;
};

static void put(struct target *target, char c)
{
    if (target->length + 1 < target->size)
        target->to[target->length++] = c;
}

static void put_number(struct target *target, uint64_t value, unsigned base, unsigned width, char fill)
{
    char reversed[20];
    unsigned count = 0;
    do {
        reversed[count++] = digits[value % base];
        value /= base;
    } while (value);
    for (unsigned i = count; i < width; i++)
        put(target, fill);
    while (count)
        put(target, reversed[--count]);
}

size_t format(char *to, size_t size, const char *text, va_list values)
{
    struct target target = {to, size, 0};
    for (; *text; text++) {
        if (*text != '%') {
            put(&target, *text);
            continue;
        }
        text++;
        char fill = ' ';
        unsigned width = 0;
        if (*text == '0')
            fill = *text++;
        while (*text >= '0' && *text <= '9')
            width = width * 10 + (unsigned)(*text++ - '0');
        int is_long = *text == 'l';
        text += is_long;
        switch (*text) {
        case 's':
            for (const char *s = va_arg(values, const char *); *s; s++)
                put(&target, *s);
            break;
        case 'c':
            put(&target, (char)va_arg(values, int));
            break;
        case 'u':
        case 'x': {
            uint64_t value = is_long ? va_arg(values, uint64_t) : va_arg(values, unsigned);
            put_number(&target, value, *text == 'x' ? 16 : 10, width, fill);
            break;
        }
        default:
            put(&target, *text);
        }
    }
    to[target.length] = 0;
    return target.length;
}

void to_hex(char *to, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
}

/*
 * The parts of samples/guests/lib that need no guest, on the machine of the test: guest-library.test.ts compiles it,
 * writes requests and reads answers, one a line. Bytes are hex, "-" stands for none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aes-gcm.h"
#include "print.h"

static uint8_t bytes[4][8192];
static size_t sizes[4];

static void parse(unsigned which, const char *hex)
{
    sizes[which] = 0;
    if (!strcmp(hex, "-"))
        return;
    for (unsigned value; sscanf(hex, "%2x", &value) == 1; hex += 2)
        bytes[which][sizes[which]++] = (uint8_t)value;
}

static void answer(const uint8_t *data, size_t size)
{
    char hex[2 * 8192 + 1];
    to_hex(hex, data, size);
    hex[2 * size] = 0;
    printf("%s", size ? hex : "-");
}

static void formatted(const char *text, ...)
{
    char line[40];
    va_list values;
    va_start(values, text);
    size_t length = format(line, sizeof(line), text, values);
    va_end(values);
    printf("%zu %s\n", length, line);
}

int main(void)
{
    static char operation[8], fields[4][2 * 8192 + 2];
    uint8_t tag[16];
    formatted("plain");
    formatted("%s-%c-%%", "text", 'x');
    formatted("%u %lu", 4294967295u, 18446744073709551615ul);
    formatted("%x %lx", 0xdeadbeefu, 0x123456789abcdef0ul);
    formatted("%08x|%016lx|%3u|%03u", 0x1fu, 0x2aul, 7u, 7u);
    formatted("0x%lx %u", 0ul, 0u);
    formatted("%s", "a text that is longer than the forty characters of the line");

    while (scanf("%7s %16385s %16385s %16385s %16385s", operation, fields[0], fields[1], fields[2], fields[3]) == 5) {
        struct aes_gcm gcm;
        for (unsigned i = 0; i < 4; i++)
            parse(i, fields[i]);
        aes_gcm_key(&gcm, bytes[0]);
        if (!strcmp(operation, "seal")) {
            aes_gcm_seal(&gcm, bytes[1], bytes[2], sizes[2], bytes[3], sizes[3], tag);
            answer(bytes[3], sizes[3]);
            printf(" ");
            answer(tag, 16);
            printf("\n");
        } else { /* the tag is the end of the data */
            size_t size = sizes[3] - 16;
            bool good = aes_gcm_open(&gcm, bytes[1], bytes[2], sizes[2], bytes[3], size, bytes[3] + size);
            printf("%s ", good ? "good" : "bad");
            answer(bytes[3], size);
            printf("\n");
        }
    }
    return 0;
}

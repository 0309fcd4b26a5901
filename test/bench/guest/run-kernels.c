/* Runs the kernels under any firmware, and tells when each begins and ends. KERNEL_ROUNDS comes from the build. */
#include "program.h"

typedef uint64_t (*entry)(uint64_t kernel, uint64_t rounds);

static void copy(uint64_t to, const uint8_t *from, uint64_t size)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static void clear(uint64_t to, uint64_t size)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(0) : "memory");
}

/* Variables as they were: each run computes the same. */
static uint64_t run(uint64_t kernel, uint64_t rounds)
{
    const struct program *program = (const struct program *)PROGRAM;
    copy(program->data_start, program_bytes + (program->data_start - PROGRAM), program->data_end - program->data_start);
    clear(program->data_end, program->bss_end - program->data_end);
    return ((entry)PROGRAM)(kernel, rounds);
}

/* "WORD NUMBER\n", or with a result of 16 digits "WORD NUMBER RESULT\n". */
static void tell(const char *word, unsigned number, const uint64_t *result)
{
    char text[40];
    char *to = text;
    while (*word)
        *to++ = *word++;
    *to++ = ' ';
    *to++ = (char)('0' + number);
    if (result) {
        *to++ = ' ';
        for (int shift = 60; shift >= 0; shift -= 4)
            *to++ = "0123456789abcdef"[*result >> shift & 15];
    }
    *to++ = '\n';
    *to = 0;
    report(text);
}

void run_kernels(void)
{
    static const uint64_t rounds[] = {KERNEL_ROUNDS};
    copy(PROGRAM, program_bytes, (uint64_t)(program_bytes_end - program_bytes));
    for (unsigned kernel = 0; kernel < sizeof(rounds) / sizeof(rounds[0]); kernel++) {
        run(kernel, (rounds[kernel] + 3) / 4);
        for (int n = 0; n < 3; n++) {
            tell("begin", kernel, 0);
            uint64_t result = run(kernel, rounds[kernel]);
            tell("end", kernel, &result);
        }
    }
}

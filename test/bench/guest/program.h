/* The program with the kernels, carried in the firmware image. */
#pragma once

#include <stdint.h>

#define PROGRAM 0xa00000
#define PROGRAM_MEMORY 0x800000

/* program.S */
struct program {
    uint8_t entry[8];
    uint64_t data_start, data_end, bss_end;
};

/* program-bytes.S */
extern const uint8_t program_bytes[], program_bytes_end[];

/* Lines for whoever measures. */
void report(const char *text);

/* Each kernel of KERNEL_ROUNDS once to warm up and three times with all rounds: `begin NAME`, `end NAME RESULT`. */
void run_kernels(void);

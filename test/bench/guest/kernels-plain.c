/* The kernels without SNP, for QEMU's system emulation: the same program at the same address in 64-bit mode. */
#include "program.h"

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

void report(const char *text)
{
    while (*text)
        out8(0x402, (uint8_t)*text++);
}

_Noreturn void start_plain(void)
{
    run_kernels();
    out8(0x501, 0); /* isa-debug-exit */
    for (;;)
        __asm__ volatile("hlt");
}

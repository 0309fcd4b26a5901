/* What single things cost: each many times, between `begin NAME` and `end NAME COUNT`. */
#include "exceptions.h"
#include "ghcb-msr.h"
#include "ghcb.h"
#include "pages.h"
#include "serial.h"
#include "start.h"

#define TIMES 4096
#define MEMORY FREE_MEMORY
#define MEMORY_END (MEMORY + TIMES * PAGE_SIZE)

static void tell(const char *word, const char *name, unsigned count)
{
    char text[80];
    char *to = text;
    while (*word)
        *to++ = *word++;
    *to++ = ' ';
    while (*name)
        *to++ = *name++;
    char digits[10];
    unsigned length = 0;
    for (; count; count /= 10)
        digits[length++] = (char)('0' + count % 10);
    if (length)
        *to++ = ' ';
    while (length)
        *to++ = digits[--length];
    *to++ = '\n';
    debug_console(text, (size_t)(to - text));
}

/* Twice: what runs for the first time is decoded meanwhile. */
#define MEASURE(name, ...) \
    do { \
        for (int turn = 0; turn < 2; turn++) { \
            tell("begin", name, 0); \
            for (unsigned n = 0; n < TIMES; n++) \
                __VA_ARGS__; \
            tell("end", name, TIMES); \
        } \
    } while (0)

#define MEASURE_PAGES(name, ...) \
    do { \
        tell("begin", name, 0); \
        for (uint64_t page = MEMORY; page < MEMORY_END; page += PAGE_SIZE) \
            __VA_ARGS__; \
        tell("end", name, TIMES); \
    } while (0)

static void pvalidates(uint64_t page, bool valid)
{
    struct pvalidate_result result = pvalidate(page, SIZE_4K, valid);
    if (result.code || result.unchanged)
        end(END_PVALIDATE);
}

static void touch(uint64_t page)
{
    *(volatile uint64_t *)page = page;
}

/* #VC of CPUID that asks the host by the GHCB MSR, in as few instructions as it takes. */
extern const uint8_t vc_by_msr[];
__asm__(".pushsection .text\n"
        ".balign 16\n"
        ".globl vc_by_msr\n"
        ".hidden vc_by_msr\n"
        "vc_by_msr:\n"
        "movl $0xc0010130, %ecx\n"
        "movl $0x4, %eax\n" /* CPUID request, leaf 1, EAX */
        "movl $1, %edx\n"
        "wrmsr\n"
        ".byte 0xf3, 0x0f, 0x01, 0xd9\n"
        "rdmsr\n"
        "addq $8, %rsp\n"
        "addq $2, (%rsp)\n"
        "iretq\n"
        ".popsection\n");

static void flush_all(void)
{
    __asm__ volatile("movq %%cr3, %%rax; movq %%rax, %%cr3" : : : "rax", "memory");
}

void guest_main(void)
{
    start_talking();
    uint64_t value = read_cr4();
    MEASURE("exit", __asm__ volatile("movq %0, %%cr4" : : "r"(value) : "memory"));
    MEASURE("vmgexit-msr", msr_hypervisor_features());
    MEASURE("vmgexit-page", ghcb_call(ghcb_begin(), EXIT_HV_FEATURES, 0, 0));
    MEASURE("vc", cpuid(0, 0));
    MEASURE("vc-page", in8(0x3fd));
    /* The marks need the ordinary handler. */
    MEASURE("vc-msr", {
        if (n == 0)
            set_exception_handler(VECTOR_VC, (uint64_t)vc_by_msr);
        cpuid(1, 0);
        if (n == TIMES - 1)
            open_exceptions();
    });

    MEASURE_PAGES("pvalidate-new", pvalidates(page, true));
    MEASURE_PAGES("rescind", pvalidates(page, false));
    MEASURE_PAGES("pvalidate", pvalidates(page, true));
    MEASURE_PAGES("first-touch", touch(page));
    flush_all();
    MEASURE_PAGES("touch-after-flush", touch(page));
    MEASURE_PAGES("page-state-change", {
        if (page == MEMORY)
            pvalidates(page, false);
        change_page_state(MEMORY, page & PAGE_SIZE ? TO_PRIVATE : TO_SHARED, SIZE_4K);
    });
}

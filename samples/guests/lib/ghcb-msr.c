#include "ghcb-msr.h"

#define CODE(value) ((value) & 0xfff)

enum {
    SEV_INFORMATION_RESPONSE = 0x001,
    SEV_INFORMATION_REQUEST = 0x002,
    CPUID_REQUEST = 0x004,
    CPUID_RESPONSE = 0x005,
    REGISTER_REQUEST = 0x012,
    REGISTER_RESPONSE = 0x013,
    PAGE_STATE_REQUEST = 0x014,
    PAGE_STATE_RESPONSE = 0x015,
    FEATURES_REQUEST = 0x080,
    FEATURES_RESPONSE = 0x081,
    TERMINATE = 0x100,
};

_Noreturn void end(unsigned reason)
{
    write_msr(MSR_GHCB, TERMINATE | END_SET << 12 | (uint64_t)reason << 16);
    for (;;) {
        vmgexit(); /* does not return */
        __asm__ volatile("hlt");
    }
}

static uint64_t ask(uint64_t request, unsigned response)
{
    write_msr(MSR_GHCB, request);
    vmgexit();
    uint64_t answer = read_msr(MSR_GHCB);
    if (CODE(answer) != response)
        end(END_MSR_RESPONSE);
    return answer;
}

struct protocol_range negotiate_protocol(void)
{
    uint64_t answer = ask(SEV_INFORMATION_REQUEST, SEV_INFORMATION_RESPONSE);
    struct protocol_range range = {.minimum = answer >> 32, .maximum = answer >> 48};
    if (range.minimum > 2 || range.maximum < 2)
        end(END_PROTOCOL);
    return range;
}

uint64_t msr_hypervisor_features(void)
{
    return ask(FEATURES_REQUEST, FEATURES_RESPONSE) >> 12;
}

uint32_t msr_cpuid(uint32_t leaf, unsigned index)
{
    return ask((uint64_t)leaf << 32 | (uint64_t)index << 30 | CPUID_REQUEST, CPUID_RESPONSE) >> 32;
}

void msr_register_ghcb(uint64_t gpa)
{
    if (ask(gpa | REGISTER_REQUEST, REGISTER_RESPONSE) >> 12 != gpa >> 12)
        end(END_REGISTRATION);
}

uint32_t msr_page_state_change(uint64_t gpa, enum page_operation operation)
{
    return ask((uint64_t)operation << 52 | gpa | PAGE_STATE_REQUEST, PAGE_STATE_RESPONSE) >> 32;
}

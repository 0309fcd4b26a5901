#include "ghcb-msr.h"
#include "vc.h"

/* The CPUID page. AMD publication 56860, SNP_LAUNCH_UPDATE, CPUID page. */
struct cpuid_page {
    uint32_t count;
    uint32_t reserved[3];
    struct cpuid_function {
        uint32_t eax_in, ecx_in;
        uint64_t xcr0_in, xss_in;
        struct registers out;
        uint64_t reserved;
    } functions[64];
};

_Static_assert(sizeof(struct cpuid_function) == 48, "CPUID page");

static bool has_subleaves(uint32_t leaf)
{
    switch (leaf) {
    case 0x4:
    case 0x7:
    case 0xb:
    case 0xd:
    case 0xf:
    case 0x10:
    case 0x8000001d:
        return true;
    default:
        return false;
    }
}

struct registers cpuid_from_page(uint32_t leaf, uint32_t subleaf)
{
    const struct cpuid_page *page = (const struct cpuid_page *)CPUID_PAGE;
    struct registers r = {0};
    for (uint32_t i = 0; i < page->count && i < 64; i++) {
        const struct cpuid_function *function = &page->functions[i];
        if (function->eax_in == leaf && (!has_subleaves(leaf) || function->ecx_in == subleaf)) {
            r = function->out;
            break;
        }
    }

    switch (leaf) { /* what differs from vCPU to vCPU is not in the page */
    case 0x1:
        r.ebx = (r.ebx & 0x00ffffff) | (msr_cpuid(leaf, 1) & 0xff000000); /* APIC id */
        r.edx = (r.edx & ~(1u << 9)) | (msr_cpuid(leaf, 3) & 1u << 9); /* APIC is on */
        r.ecx = (r.ecx & ~(1u << 27)) | (read_cr4() & 1u << 18 ? 1u << 27 : 0); /* OSXSAVE */
        break;
    case 0xb:
        r.edx = msr_cpuid(leaf, 3); /* x2APIC id */
        break;
    }
    return r;
}

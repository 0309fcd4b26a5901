/*
 * hello: all that a guest does before its first line of text, then its attestation report.
 */
#include "lib/attestation.h"
#include "lib/ghcb-msr.h"
#include "lib/ghcb.h"
#include "lib/pages.h"
#include "lib/print.h"
#include "lib/serial.h"
#include "lib/start.h"

/* What the guest wants to have in its report. A verifier sends a number used once instead. */
static const uint8_t REPORT_DATA[64] = "These 64 bytes are the guest's: a nonce, or the hash of a key.";

static void tell_about_the_processor(void)
{
    char vendor[13] = {0};
    struct registers r = cpuid(0, 0);
    memcpy(vendor, &r.ebx, 4);
    memcpy(vendor + 4, &r.edx, 4);
    memcpy(vendor + 8, &r.ecx, 4);
    r = cpuid(1, 0);
    print("processor: %s, signature 0x%08x, APIC id %u, APIC base 0x%lx\n", vendor, r.eax, r.ebx >> 24,
          read_msr(MSR_APIC_BASE));
}

static unsigned bit_position(uint64_t mask)
{
    return (unsigned)__builtin_ctzll(mask);
}

/* Only VMPL 0 may change the permissions of others: VMPL 1 stays without any for this page. */
static void check_vmpl(void)
{
    if (rmpadjust(SPARE_PAGE, SIZE_4K, 1) != SUCCESS)
        end(END_VMPL);
    print("VMPL: 0\n");
}

static void write_all(uint64_t gpa, uint64_t size)
{
    for (uint64_t at = gpa; at < gpa + size; at += PAGE_SIZE)
        *(volatile uint64_t *)at = at;
    for (uint64_t at = gpa; at < gpa + size; at += PAGE_SIZE)
        if (*(volatile uint64_t *)at != at)
            end(END_STEP_FAILED);
}

static void report_to_debug_console(const struct attestation_report *report)
{
    char *hex = (char *)FREE_MEMORY;
    to_hex(hex, (const uint8_t *)report, sizeof(*report));
    hex[2 * sizeof(*report)] = '\n';
    debug_console(hex, 2 * sizeof(*report) + 1);
}

void guest_main(void)
{
    struct protocol_range protocol = negotiate_protocol();
    uint64_t features = msr_hypervisor_features();
    if (!(features & HV_SNP))
        end(END_HV_FEATURES);
    if (msr_page_state_change(GHCB_BSP, TO_SHARED))
        end(END_PAGE_STATE);
    open_ghcb(GHCB_BSP);
    open_serial();
    print("hello from an SEV-SNP guest\n");

    print("SEV_STATUS: 0x%lx, C-bit: %u\n", boot_facts()->sev_status, bit_position(boot_facts()->c_bit));
    print("GHCB protocol: 2 of %u to %u; hypervisor features: 0x%lx\n", protocol.minimum, protocol.maximum, features);
    tell_about_the_processor();
    check_vmpl();

    struct accepted accepted = accept_memory(FREE_MEMORY, FREE_MEMORY_SIZE);
    write_all(FREE_MEMORY, FREE_MEMORY_SIZE);
    print("memory: 0x%x to 0x%x validated, %u pages of 2 MiB and %u of 4 KiB\n", FREE_MEMORY,
          FREE_MEMORY + FREE_MEMORY_SIZE - 1, accepted.large, accepted.small);

    const struct page_entry shared[] = {{REQUEST_PAGE, TO_SHARED, SIZE_4K}, {RESPONSE_PAGE, TO_SHARED, SIZE_4K}};
    if (page_state_change(shared, 2, NULL))
        end(END_PAGE_STATE);
    const struct attestation_report *report = request_report(REPORT_DATA);
    print_report(report);
    report_to_debug_console(report);
    print("hello: finished\n");
}

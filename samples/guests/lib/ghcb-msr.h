/* GHCB MSR protocol: a request in the GHCB MSR, VMGEXIT, the answer in the GHCB MSR. Needs no memory. */
#pragma once

#include "cpu.h"

/* Version 2 of the protocol, or the end. */
struct protocol_range {
    uint16_t minimum, maximum;
};
struct protocol_range negotiate_protocol(void);

#define HV_SNP (1u << 0)
#define HV_AP_CREATION (1u << 1)

/* Feature bitmap of the hypervisor. */
uint64_t msr_hypervisor_features(void);

/* One register of CPUID as the host gives it; sub-leaf 0. `index`: 0 EAX, 1 EBX, 2 ECX, 3 EDX. */
uint32_t msr_cpuid(uint32_t leaf, unsigned index);

/* The host must know the page before it is used as GHCB. */
void msr_register_ghcb(uint64_t gpa);

enum page_operation { TO_PRIVATE = 1, TO_SHARED = 2, PSMASH = 3, UNSMASH = 4 };

/* Page state change of one 4 KiB page; `operation` is TO_PRIVATE or TO_SHARED. The error code of the host, 0 fine. */
uint32_t msr_page_state_change(uint64_t gpa, enum page_operation operation);

/* Ends the guest with a reason of end.h. */
_Noreturn void end(unsigned reason);

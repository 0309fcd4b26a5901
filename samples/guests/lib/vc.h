#pragma once

#include "exceptions.h"

/*
 * #VC: the processor will not let the host emulate an instruction; the guest asks the host for what it wants to ask.
 * The error code is the exit code. Knows CPUID, IN, OUT, OUTSB, RDMSR and WRMSR; ends the guest for anything else.
 */
void handle_vc(struct frame *frame);

/* CPUID from the page that the firmware has checked, with what only the host knows: APIC id and the like. */
struct registers cpuid_from_page(uint32_t leaf, uint32_t subleaf);

#include "start.h"

#include "exceptions.h"
#include "ghcb-msr.h"
#include "ghcb.h"
#include "serial.h"

/* SEV_STATUS: vTOM, ReflectVC, restricted and alternate injection change rules on which this code relies. */
#define UNSUPPORTED_FEATURES (0xfull << 3)

/* reset.S calls this, in long mode, with a stack. */
_Noreturn void start_c(void)
{
    open_cpu(CPU_BSP);
    open_exceptions();
    if (boot_facts()->sev_status & UNSUPPORTED_FEATURES)
        end(END_FEATURES);
    guest_main();
    end(END_FINISHED);
}

void open_cpu(uint64_t address)
{
    struct cpu *cpu = (struct cpu *)address;
    cpu->self = cpu;
    write_msr(MSR_GS_BASE, address);
}

void start_talking(void)
{
    negotiate_protocol();
    if (!(msr_hypervisor_features() & HV_SNP))
        end(END_HV_FEATURES);
    /* Launched memory would have to be rescinded first; this page never was validated. */
    if (msr_page_state_change(GHCB_BSP, TO_SHARED))
        end(END_PAGE_STATE);
    open_ghcb(GHCB_BSP);
    open_serial();
}

/*
 * two-vcpus: the first vCPU builds the initial state of a second one and has the host start it. Then they take turns.
 */
#include "lib/exceptions.h"
#include "lib/ghcb-msr.h"
#include "lib/ghcb.h"
#include "lib/pages.h"
#include "lib/print.h"
#include "lib/serial.h"
#include "lib/start.h"
#include "lib/vmsa.h"

#define APIC_ID_AP 1
#define ROUNDS 3

enum { TURN_BSP, TURN_AP, AP_STOPPED };

/* Private memory that both vCPUs use. */
static unsigned *const turn = (unsigned *)GUEST_DATA;

static unsigned now(void)
{
    return __atomic_load_n(turn, __ATOMIC_ACQUIRE);
}

static void give_turn(unsigned to)
{
    __atomic_store_n(turn, to, __ATOMIC_RELEASE);
}

static void wait_for(unsigned value)
{
    for (uint64_t tries = 0; now() != value; tries++) {
        if (tries == 50000000)
            end(END_AP);
        pause();
    }
}

/* The second vCPU begins here, in long mode, with its stack and its GS base. */
static void ap_main(void)
{
    open_ghcb(GHCB_AP); /* each vCPU has its own */
    this_cpu()->console = true;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        wait_for(TURN_AP);
        print("  vCPU 1: round %u, APIC id %u\n", round, cpuid(1, 0).ebx >> 24);
        give_turn(round < ROUNDS ? TURN_BSP : AP_STOPPED);
    }
    for (;;)
        __asm__ volatile("cli; hlt");
}

static struct segment table_register(uint64_t base, uint16_t limit)
{
    return (struct segment){.limit = limit, .base = base};
}

extern const uint64_t gdt[];

static void build_vmsa(struct vmsa *vmsa)
{
    struct cpu *cpu = (struct cpu *)CPU_AP;
    cpu->self = cpu;

    memset(vmsa, 0, sizeof(*vmsa));
    vmsa->cs = (struct segment){.selector = 0x18, .attributes = 0xa9b, .limit = 0xffffffff};
    vmsa->ds = (struct segment){.selector = 0x10, .attributes = 0xc93, .limit = 0xffffffff};
    vmsa->es = vmsa->ss = vmsa->fs = vmsa->gs = vmsa->ds;
    vmsa->gs.base = CPU_AP;
    vmsa->gdtr = table_register((uint64_t)gdt, 4 * 8 - 1);
    vmsa->idtr = table_register(IDT64, 32 * 16 - 1);
    vmsa->ldtr.attributes = 0x82;
    vmsa->ldtr.limit = 0xffff;
    vmsa->tr.attributes = 0x8b;
    vmsa->tr.limit = 0xffff;

    vmsa->efer = 0x1500;    /* SVME, LMA, LME */
    vmsa->cr0 = 0x80000031; /* PG, NE, ET, PE */
    vmsa->cr3 = PML4;
    vmsa->cr4 = read_cr4();
    vmsa->dr6 = 0xffff0ff0;
    vmsa->dr7 = 0x400;
    vmsa->rflags = 2;
    vmsa->rip = (uint64_t)ap_main;
    vmsa->rsp = STACK_AP_END - 8; /* as after a call */
    vmsa->g_pat = 0x0007040600070406;
    vmsa->xcr0 = 1;
    vmsa->mxcsr = 0x1f80;
    vmsa->x87_fcw = 0x37f;
    vmsa->sev_features = boot_facts()->sev_status >> 2;
}

static void start_ap(void)
{
    struct vmsa *vmsa = (struct vmsa *)VMSA_AP;
    build_vmsa(vmsa);

    /* From now on the page is a save area: nobody may change its state but VMPL 0 with RMPADJUST. */
    uint32_t code = rmpadjust(VMSA_AP, SIZE_4K, RMPADJUST_VMSA | 1);
    if (code) {
        print("RMPADJUST of the VMSA: code %u\n", code);
        end(END_AP);
    }
    uint64_t features = vmsa->sev_features;
    volatile struct ghcb *page = ghcb_begin();
    ghcb_set(page, rax, features);
    ghcb_call(page, EXIT_AP_CREATION, (uint64_t)APIC_ID_AP << 32 | 1, VMSA_AP);
}

void guest_main(void)
{
    start_talking();
    print("two vCPUs in turn\n");
    if (!(msr_hypervisor_features() & HV_AP_CREATION))
        end(END_HV_FEATURES);
    change_page_state(GHCB_AP, TO_SHARED, SIZE_4K);
    start_ap();

    for (unsigned round = 1; round <= ROUNDS; round++) {
        wait_for(TURN_BSP);
        print("vCPU 0: round %u\n", round);
        give_turn(TURN_AP);
    }
    wait_for(AP_STOPPED);
    print("two-vcpus: finished\n");
}

/*
 * vmsa-at-2m: a VMSA at a multiple of 2 MiB, which KVM refuses because of an erratum. v15 of the series stops the vCPU
 * that it was for all the same.
 */
#include "lib/ghcb.h"
#include "lib/pages.h"
#include "lib/print.h"
#include "lib/start.h"

#define CREATE 1

void guest_main(void)
{
    start_talking();
    print("a VMSA at 0x%x for vCPU 1\n", FREE_MEMORY);
    volatile struct ghcb *page = ghcb_begin();
    ghcb_set(page, rax, boot_facts()->sev_status >> 2);
    struct ghcb_answer answer = ghcb_exit(page, EXIT_AP_CREATION, (uint64_t)1 << 32 | CREATE, FREE_MEMORY);
    print("answer %u, reason %lu\n", answer.status, answer.info2);
    for (unsigned i = 0; i < 100000; i++) /* vCPU 1 gets its turn */
        pause();
    print("vmsa-at-2m: finished\n");
}

/*
 * wrong-page-size: the guest validates 2 MiB at a time, and has no plan for a host that backs them with 4 KiB pages.
 */
#include "lib/pages.h"
#include "lib/print.h"
#include "lib/start.h"

void guest_main(void)
{
    start_talking();
    print("mistake: PVALIDATE of 2 MiB without a fallback to 4 KiB\n");
    change_page_state(FREE_MEMORY, TO_PRIVATE, SIZE_2M);
    validate(FREE_MEMORY, SIZE_2M, true); /* accept_memory() would go on with 512 pages of 4 KiB */
    *(volatile uint64_t *)FREE_MEMORY = 1;
    print("wrong-page-size: this host has pages of 2 MiB\n");
}

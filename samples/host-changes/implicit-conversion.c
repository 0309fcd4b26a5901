/*
 * implicit-conversion: the guest shares a page without asking for it. The host notices at the access, and converts the
 * page; v15 of the KVM series takes the fault for a spurious one.
 */
#include "lib/pages.h"
#include "lib/print.h"
#include "lib/start.h"

void guest_main(void)
{
    start_talking();
    volatile uint64_t *page = (volatile uint64_t *)FREE_MEMORY;
    validate(FREE_MEMORY, SIZE_4K, true);
    *page = 1; /* mapped by the host, writable */
    validate(FREE_MEMORY, SIZE_4K, false);
    print("a private page is written to as a shared one\n");
    map_private(FREE_MEMORY, false);
    *page = 2;
    print("the page holds %lu\n", *page);
    print("implicit-conversion: finished\n");
}

/*
 * forgotten-pvalidate: the host has made the page private, and the guest uses it without PVALIDATE.
 */
#include "lib/pages.h"
#include "lib/print.h"
#include "lib/start.h"

void guest_main(void)
{
    start_talking();
    print("mistake: memory is used without PVALIDATE\n");
    change_page_state(FREE_MEMORY, TO_PRIVATE, SIZE_4K);
    /* Here belongs validate(FREE_MEMORY, SIZE_4K, true). */
    *(volatile uint64_t *)FREE_MEMORY = 1;
    print("forgotten-pvalidate: the write went through\n");
}

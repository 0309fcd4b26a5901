/*
 * psmash-last: a list of page state changes whose last entry is PSMASH. Hosts may do nothing about it; v15 of the KVM
 * series does something else.
 */
#include "lib/pages.h"
#include "lib/print.h"
#include "lib/start.h"

void guest_main(void)
{
    start_talking();
    struct page_entry list[] = {{FREE_MEMORY + LARGE_PAGE_SIZE, TO_PRIVATE, SIZE_4K}, {FREE_MEMORY, PSMASH, SIZE_2M}};
    print("a page to private, and PSMASH behind it\n");
    uint64_t result = page_state_change(list, 2, NULL);
    print("result 0x%lx\n", result);
    if (result)
        end(END_PAGE_STATE);
    print("psmash-last: finished\n");
}

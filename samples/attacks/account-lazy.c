/*
 * account-lazy: the same guest, as one that accepts memory when it first uses it. A page that is not validated is new,
 * it thinks: it validates the page and fills it from the ledger. It keeps no record of what it has validated before.
 */
#include "account.h"

void __real_handle_vc(struct frame *frame);

void __wrap_handle_vc(struct frame *frame)
{
    if (frame->error_code == EXIT_NOT_VALIDATED) {
        uint64_t page = read_cr2() & ~(uint64_t)(PAGE_SIZE - 1);
        pvalidate(page, SIZE_4K, true); /* CF is clear: another page of the host is behind the address */
        *(volatile uint64_t *)page = *(volatile uint64_t *)GUEST_DATA;
        return;
    }
    __real_handle_vc(frame);
}

void guest_main(void)
{
    keep_account();
    print("account-lazy: finished\n");
}

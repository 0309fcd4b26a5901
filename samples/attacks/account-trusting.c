/*
 * account-trusting: the same guest without defence. It validates a page whenever the processor says that it is not
 * validated, and answers every #VC. The attacks that need this succeed.
 */
#include "account.h"

void __real_handle_vc(struct frame *frame);

void __wrap_handle_vc(struct frame *frame)
{
    if (frame->error_code == EXIT_NOT_VALIDATED) {
        pvalidate(read_cr2() & ~(uint64_t)(PAGE_SIZE - 1), SIZE_4K, true); /* a second time for the same address */
        return;
    }
    __real_handle_vc(frame);
}

void guest_main(void)
{
    keep_account();
    print("account-trusting: finished\n");
}

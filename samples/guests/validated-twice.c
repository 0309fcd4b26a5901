/*
 * validated-twice: the guest validates memory that the launch has validated already.
 */
#include "lib/pages.h"
#include "lib/print.h"
#include "lib/start.h"

void guest_main(void)
{
    start_talking();
    print("mistake: a page is validated a second time\n");
    uint64_t page = SPARE_PAGE; /* part of the SEV metadata: Guest-Valid from the start */
    validate(page, SIZE_4K, true);
    print("validated-twice: PVALIDATE changed something\n");
}

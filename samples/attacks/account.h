/* What the guests have in common: a balance in a page of its own, which grows by 100 a month. */
#pragma once

#include "lib/ghcb.h"
#include "lib/pages.h"
#include "lib/print.h"
#include "lib/start.h"
#include "lib/vc.h"

#define ACCOUNT FREE_MEMORY           /* the page that the attacks are about */
#define OTHER (FREE_MEMORY + PAGE_SIZE)
#define MONTHS 3
#define DEPOSIT 100

static inline void open_account(uint64_t page, uint64_t balance)
{
    change_page_state(page, TO_PRIVATE, SIZE_4K);
    validate(page, SIZE_4K, true);
    *(volatile uint64_t *)page = balance;
}

/*
 * With each line that it prints the guest gives the processor to the host, which can then do what it likes. Nothing
 * tells the guest of that but its memory: it knows from the month what the balance should be.
 */
static inline void keep_account(void)
{
    volatile uint64_t *account = (volatile uint64_t *)ACCOUNT;
    start_talking();
    open_account(ACCOUNT, 0);
    open_account(OTHER, 7777);
    for (unsigned month = 1; month <= MONTHS; month++) {
        *account += DEPOSIT;
        *(volatile uint64_t *)GUEST_DATA = month * DEPOSIT; /* the ledger, in a page that was launched */
        print("month %u: the balance is %lu\n", month, *account);
        if (*account != month * DEPOSIT) {
            print("the balance is %lu now, and should be %u: the host has cheated\n", *account, month * DEPOSIT);
            end(END_STEP_FAILED);
        }
    }
}

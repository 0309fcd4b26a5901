/*
 * page-states: memory goes from private to shared and back, one page or 2 MiB at a time, by the GHCB MSR and by the
 * GHCB page. Each step says what it tries, and whether it went as it should.
 */
#include "lib/ghcb-msr.h"
#include "lib/ghcb.h"
#include "lib/pages.h"
#include "lib/print.h"
#include "lib/start.h"

#define SMALL FREE_MEMORY                     /* 2 MiB used as pages of 4 KiB */
#define LARGE (FREE_MEMORY + LARGE_PAGE_SIZE) /* 2 MiB used as one page */
#define BATCH 8

#define PRIVATE_TEXT 0x6574617669727021
#define SHARED_TEXT 0x2164657261687321

/* Answers to a page state change: SW_EXITINFO2. */
#define INVALID_HEADER 0x100000001
#define INVALID_ENTRY 0x100000002

static struct {
    unsigned steps, failures;
} *const count = (void *)GUEST_DATA;

static void step(bool good, const char *what)
{
    count->steps++;
    count->failures += !good;
    print("%s  %2u %s\n", good ? "ok    " : "failed", count->steps, what);
}

static uint64_t read(uint64_t address)
{
    return *(volatile uint64_t *)address;
}

/* Every page of the range keeps what is written to it. */
static bool keeps(uint64_t address, uint64_t size, uint64_t text)
{
    for (uint64_t at = address; at < address + size; at += PAGE_SIZE)
        *(volatile uint64_t *)at = text ^ at;
    for (uint64_t at = address; at < address + size; at += PAGE_SIZE)
        if (read(at) != (text ^ at))
            return false;
    return true;
}

static bool pvalidate_gives(uint64_t address, enum page_size size, bool valid, uint32_t code, bool unchanged)
{
    struct pvalidate_result result = pvalidate(address, size, valid);
    if (result.code == code && result.unchanged == unchanged)
        return true;
    print("        PVALIDATE of 0x%lx: code %u, CF %u\n", address, result.code, result.unchanged);
    return false;
}

static bool changes(const struct page_entry *entries, unsigned count, uint64_t expected)
{
    unsigned exits = 0;
    uint64_t result = page_state_change(entries, count, &exits);
    if (result == expected)
        return true;
    print("        page state change: result 0x%lx after %u exits\n", result, exits);
    return false;
}

static bool change(uint64_t gpa, enum page_operation operation, enum page_size size)
{
    struct page_entry entry = {gpa, operation, size};
    return changes(&entry, 1, 0);
}

/* PVALIDATE of 2 MiB, or of its 512 pages where the RMP has pages of 4 KiB. */
static bool validate_large(uint64_t address, bool valid)
{
    struct pvalidate_result result = pvalidate(address, SIZE_2M, valid);
    if (result.code == SUCCESS && !result.unchanged) {
        print("        the RMP has a page of 2 MiB\n");
        return true;
    }
    if (result.code != FAIL_SIZEMISMATCH)
        return false;
    print("        FAIL_SIZEMISMATCH: 512 pages of 4 KiB instead\n");
    for (uint64_t at = address; at < address + LARGE_PAGE_SIZE; at += PAGE_SIZE)
        if (!pvalidate_gives(at, SIZE_4K, valid, SUCCESS, false))
            return false;
    return true;
}

static void one_page_by_ghcb(void)
{
    uint64_t page = SMALL;
    step(change(page, TO_PRIVATE, SIZE_4K), "GHCB page: 4 KiB to private");
    step(pvalidate_gives(page, SIZE_4K, true, SUCCESS, false), "PVALIDATE: valid now");
    step(pvalidate_gives(page, SIZE_4K, true, SUCCESS, true), "PVALIDATE again: CF says that it was valid before");
    step(keeps(page, PAGE_SIZE, PRIVATE_TEXT), "private memory keeps what is written");
}

static void one_page_by_msr(void)
{
    uint64_t page = SMALL;
    step(pvalidate_gives(page, SIZE_4K, false, SUCCESS, false), "PVALIDATE: rescinded");
    step(msr_page_state_change(page, TO_SHARED) == 0, "GHCB MSR: 4 KiB to shared");
    map_private(page, false);
    step(read(page) != (PRIVATE_TEXT ^ page), "the host does not get the private text");
    step(keeps(page, PAGE_SIZE, SHARED_TEXT), "shared memory keeps what is written");

    step(msr_page_state_change(page, TO_PRIVATE) == 0, "GHCB MSR: 4 KiB back to private");
    map_private(page, true);
    step(pvalidate_gives(page, SIZE_4K, true, SUCCESS, false), "PVALIDATE: valid again, and CF is clear");
    step(read(page) != (SHARED_TEXT ^ page), "the shared text is gone");
    step(keeps(page, PAGE_SIZE, PRIVATE_TEXT), "private memory keeps what is written");
}

static void batch_by_ghcb(void)
{
    uint64_t first = SMALL + PAGE_SIZE;
    struct page_entry entries[BATCH];
    for (unsigned i = 0; i < BATCH; i++) {
        entries[i] = (struct page_entry){first + i * PAGE_SIZE, TO_SHARED, SIZE_4K};
        map_private(entries[i].gpa, false);
    }
    step(changes(entries, BATCH, 0), "GHCB page: 8 entries of 4 KiB to shared, never validated before");
    step(keeps(first, BATCH * PAGE_SIZE, SHARED_TEXT), "shared memory keeps what is written");

    bool good = true;
    for (unsigned i = 0; i < BATCH; i++)
        entries[i].operation = TO_PRIVATE;
    step(changes(entries, BATCH, 0), "GHCB page: 8 entries of 4 KiB to private");
    for (unsigned i = 0; i < BATCH; i++) {
        map_private(entries[i].gpa, true);
        good &= pvalidate_gives(entries[i].gpa, SIZE_4K, true, SUCCESS, false);
    }
    step(good, "PVALIDATE: all 8 valid");
    step(keeps(first, BATCH * PAGE_SIZE, PRIVATE_TEXT), "private memory keeps what is written");
}

static void large_page(void)
{
    step(change(LARGE, TO_PRIVATE, SIZE_2M), "GHCB page: 2 MiB to private");
    step(validate_large(LARGE, true), "PVALIDATE: 2 MiB valid");
    step(keeps(LARGE, LARGE_PAGE_SIZE, PRIVATE_TEXT), "private memory keeps what is written");

    /* Whoever wants to give away a part of 2 MiB first asks for smaller pages. Hosts may do that when they like. */
    struct page_entry smash[] = {{LARGE, PSMASH, SIZE_2M}, {SMALL + 16 * PAGE_SIZE, TO_PRIVATE, SIZE_4K}};
    step(changes(smash, 2, 0), "GHCB page: PSMASH, and a page to private");
    step(keeps(LARGE, LARGE_PAGE_SIZE, PRIVATE_TEXT), "private memory keeps what is written");

    step(validate_large(LARGE, false), "PVALIDATE: 2 MiB rescinded");
    step(change(LARGE, TO_SHARED, SIZE_2M), "GHCB page: 2 MiB to shared");
    map_private(LARGE, false);
    step(keeps(LARGE, LARGE_PAGE_SIZE, SHARED_TEXT), "shared memory keeps what is written");
}

static void requests_that_must_fail(void)
{
    struct page_entry crooked = {LARGE + PAGE_SIZE, TO_PRIVATE, SIZE_2M};
    step(changes(&crooked, 1, INVALID_ENTRY), "GHCB page: 2 MiB at an address between: invalid entry");
    step(pvalidate_gives(SMALL + PAGE_SIZE, SIZE_2M, true, FAIL_INPUT, false),
         "PVALIDATE of 2 MiB at an address between: FAIL_INPUT");

    volatile struct ghcb *page = ghcb_begin();
    page->buffer[0] = page->buffer[1] = 0;
    page->buffer[2] = MAX_PAGE_ENTRIES; /* one more than there is room for */
    page->buffer[3] = 0;
    ghcb_set(page, scratch, (uint64_t)page->buffer);
    uint64_t result = ghcb_call(page, EXIT_PAGE_STATE_CHANGE, 0, 0); /* before step() prints through the same page */
    step(result == INVALID_HEADER, "GHCB page: 254 entries: invalid header");
}

void guest_main(void)
{
    start_talking();
    print("page states\n");
    split_mapping(SMALL, SPARE_PAGE_TABLE);
    one_page_by_ghcb();
    one_page_by_msr();
    batch_by_ghcb();
    large_page();
    requests_that_must_fail();
    print("page-states: %u steps, %u failed\n", count->steps, count->failures);
    if (count->failures)
        end(END_STEP_FAILED);
}

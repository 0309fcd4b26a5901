/* Page states, and the page tables. */
#pragma once

#include "cpu.h"
#include "ghcb-msr.h"

struct page_entry {
    uint64_t gpa;
    enum page_operation operation;
    enum page_size size;
};

#define MAX_PAGE_ENTRIES 253

/*
 * Page state change through the GHCB page, up to MAX_PAGE_ENTRIES entries, repeated until the host has done all. The
 * host's result: SW_EXITINFO2, 0 fine. `exits` is counted up by the VMGEXITs, unless it is null.
 */
uint64_t page_state_change(const struct page_entry *entries, unsigned count, unsigned *exits);

/* The same; ends the guest if the host fails. */
void change_page_state(uint64_t gpa, enum page_operation operation, enum page_size size);

/* PVALIDATE; ends the guest with words for every error, and if nothing changes. */
void validate(uint64_t address, enum page_size size, bool valid);

struct accepted {
    unsigned large; /* pages of 2 MiB */
    unsigned small; /* pages of 4 KiB */
};

/*
 * Makes memory usable: private by a page state change, then validated. Tries pages of 2 MiB first; the processor
 * refuses them where the RMP has pages of 4 KiB. `size` is a multiple of 2 MiB, as the address is.
 */
struct accepted accept_memory(uint64_t gpa, uint64_t size);

/* Has the pages of a leaf of the page tables accessed as private or as shared, and flushes the TLB. */
void map_private(uint64_t address, bool private);

/* Cuts the 2 MiB leaf of an address into 512 of 4 KiB, with the page at `table`. */
void split_mapping(uint64_t address, uint64_t table);

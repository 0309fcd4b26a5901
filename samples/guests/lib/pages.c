#include "pages.h"

#include "ghcb.h"
#include "print.h"

/* What SW_SCRATCH points to. GHCB specification, page state change. */
struct descriptor {
    uint16_t current, last;
    uint32_t reserved;
    uint64_t entries[MAX_PAGE_ENTRIES]; /* 11:0 pages done, 51:12 GFN, 55:52 operation, 56 2 MiB */
};

_Static_assert(sizeof(struct descriptor) == sizeof(((struct ghcb *)0)->buffer), "page state change");

uint64_t page_state_change(const struct page_entry *entries, unsigned count, unsigned *exits)
{
    volatile struct ghcb *page = ghcb_begin();
    volatile struct descriptor *list = (volatile struct descriptor *)page->buffer;
    list->current = 0;
    list->last = (uint16_t)(count - 1);
    list->reserved = 0;
    for (unsigned i = 0; i < count; i++)
        list->entries[i] = entries[i].gpa | (uint64_t)entries[i].operation << 52 | (uint64_t)entries[i].size << 56;

    for (uint16_t before = 0; list->current < count; before = list->current) {
        page = ghcb_begin(); /* leaves the buffer alone */
        ghcb_set(page, scratch, (uint64_t)list);
        uint64_t result = ghcb_call(page, EXIT_PAGE_STATE_CHANGE, 0, 0);
        if (exits)
            ++*exits;
        if (result)
            return result;
        if (list->current < before || list->last != count - 1) /* a host that plays tricks */
            end(END_PAGE_STATE);
    }
    return 0;
}

void change_page_state(uint64_t gpa, enum page_operation operation, enum page_size size)
{
    struct page_entry entry = {gpa, operation, size};
    uint64_t result = page_state_change(&entry, 1, NULL);
    if (result) {
        print("page state change of 0x%lx: result 0x%lx\n", gpa, result);
        end(END_PAGE_STATE);
    }
}

void validate(uint64_t address, enum page_size size, bool valid)
{
    struct pvalidate_result result = pvalidate(address, size, valid);
    if (result.code == SUCCESS && !result.unchanged)
        return;
    if (result.code == FAIL_SIZEMISMATCH) {
        print("PVALIDATE of 0x%lx: code 6, FAIL_SIZEMISMATCH\n", address);
        end(END_SIZE_MISMATCH);
    }
    if (result.code) {
        print("PVALIDATE of 0x%lx: code %u\n", address, result.code);
        end(END_PVALIDATE);
    }
    /* Two system pages for one address: the host may have exchanged them, and the guest would not notice. */
    print("PVALIDATE of 0x%lx: CF set, nothing changed\n", address);
    end(END_UNCHANGED);
}

struct accepted accept_memory(uint64_t gpa, uint64_t size)
{
    struct accepted accepted = {0, 0};
    for (uint64_t at = gpa; at < gpa + size; at += LARGE_PAGE_SIZE) {
        change_page_state(at, TO_PRIVATE, SIZE_2M);
        struct pvalidate_result result = pvalidate(at, SIZE_2M, true);
        if (result.code == SUCCESS && !result.unchanged) {
            accepted.large++;
            continue;
        }
        if (result.code != FAIL_SIZEMISMATCH)
            validate(at, SIZE_2M, true); /* says what is wrong */
        for (uint64_t page = at; page < at + LARGE_PAGE_SIZE; page += PAGE_SIZE) {
            validate(page, SIZE_4K, true);
            accepted.small++;
        }
    }
    return accepted;
}

#define LARGE 0x80
#define ADDRESS 0x000ffffffffff000ull

static uint64_t next_table(uint64_t entry)
{
    return entry & ADDRESS & ~boot_facts()->c_bit;
}

/* The 2 MiB leaf of an address, or the pointer to its table of 4 KiB leaves. */
static volatile uint64_t *directory_entry(uint64_t address)
{
    volatile uint64_t *directory = (volatile uint64_t *)(PAGE_DIRECTORIES + (address >> 30) * PAGE_SIZE);
    return &directory[(address >> 21) & 511];
}

void map_private(uint64_t address, bool private)
{
    volatile uint64_t *entry = directory_entry(address);
    if (!(*entry & LARGE))
        entry = (volatile uint64_t *)next_table(*entry) + ((address >> 12) & 511);
    *entry = private ? *entry | boot_facts()->c_bit : *entry & ~boot_facts()->c_bit;
    flush_address(address);
}

void split_mapping(uint64_t address, uint64_t table)
{
    volatile uint64_t *entry = directory_entry(address);
    volatile uint64_t *leaves = (volatile uint64_t *)table;
    for (unsigned i = 0; i < 512; i++)
        leaves[i] = (*entry & ~(uint64_t)LARGE) + (uint64_t)i * PAGE_SIZE;
    *entry = table | 3;
    flush_address(address);
}

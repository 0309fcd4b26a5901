/* The GHCB page: registers and requests that the guest shows to the host. */
#pragma once

#include "cpu.h"

struct ghcb {
    uint8_t reserved_000[0x1f8];
    uint64_t rax; /* 0x1f8 */
    uint8_t reserved_200[0x308 - 0x200];
    uint64_t rcx; /* 0x308 */
    uint64_t rdx;
    uint64_t rbx;
    uint8_t reserved_320[0x390 - 0x320];
    uint64_t exit_code; /* 0x390, SW_EXITCODE */
    uint64_t exit_info1;
    uint64_t exit_info2;
    uint64_t scratch;
    uint8_t reserved_3b0[0x3f0 - 0x3b0];
    uint64_t valid[2]; /* 0x3f0, bit n: the 8 bytes at 8 * n are set */
    uint8_t reserved_400[0x800 - 0x400];
    uint8_t buffer[0x7f0]; /* 0x800 */
    uint8_t reserved_ff0[10];
    uint16_t version; /* 0xffa */
    uint32_t usage;   /* 0xffc */
};

_Static_assert(offsetof(struct ghcb, rcx) == 0x308 && offsetof(struct ghcb, exit_code) == 0x390, "GHCB");
_Static_assert(offsetof(struct ghcb, valid) == 0x3f0 && offsetof(struct ghcb, buffer) == 0x800, "GHCB");
_Static_assert(offsetof(struct ghcb, version) == 0xffa && sizeof(struct ghcb) == PAGE_SIZE, "GHCB");

enum exit_code {
    EXIT_CPUID = 0x72,
    EXIT_IOIO = 0x7b,
    EXIT_MSR = 0x7c,
    EXIT_NOT_VALIDATED = 0x404,
    EXIT_PAGE_STATE_CHANGE = 0x80000010,
    EXIT_GUEST_REQUEST = 0x80000011,
    EXIT_AP_CREATION = 0x80000013,
    EXIT_HV_FEATURES = 0x8000fffd,
};

/*
 * From here to the return of ghcb_exit the page is in use: do nothing that raises #VC (CPUID, IN, OUT), whose handler
 * would overwrite it.
 */
volatile struct ghcb *ghcb_begin(void);

#define ghcb_set(page, field, value) \
    do { \
        (page)->field = (value); \
        ghcb_mark((page), offsetof(struct ghcb, field)); \
    } while (0)
#define ghcb_has(page, field) ghcb_is_marked((page), offsetof(struct ghcb, field))

static inline void ghcb_mark(volatile struct ghcb *page, size_t offset)
{
    page->valid[offset / 512] |= 1ull << offset / 8 % 64;
}

static inline bool ghcb_is_marked(const volatile struct ghcb *page, size_t offset)
{
    return page->valid[offset / 512] >> offset / 8 % 64 & 1;
}

struct ghcb_answer {
    uint32_t status; /* SW_EXITINFO1: 0 fine, 1 raise an exception, 2 refused */
    uint64_t info2;  /* SW_EXITINFO2: for status 2 the reason */
};

struct ghcb_answer ghcb_exit(volatile struct ghcb *page, uint64_t code, uint64_t info1, uint64_t info2);

/* As ghcb_exit, but ends the guest with words unless the host accepts. SW_EXITINFO2. */
uint64_t ghcb_call(volatile struct ghcb *page, uint64_t code, uint64_t info1, uint64_t info2);

/* Words for the reasons of a refusal. */
const char *refusal(uint64_t reason);

/*
 * Makes `gpa` the GHCB of this vCPU: registers it, and tries it. The page must be shared with the host, and mapped
 * without C-bit.
 */
void open_ghcb(uint64_t gpa);

/* The save area from which a vCPU of the guest starts. AMD APM volume 2, appendix B. */
#pragma once

#include "cpu.h"

struct segment {
    uint16_t selector;
    uint16_t attributes; /* bits 47:40 and 55:52 of the descriptor */
    uint32_t limit;
    uint64_t base;
};

struct vmsa {
    struct segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t reserved_0a0[0xca - 0xa0];
    uint8_t vmpl, cpl;
    uint8_t reserved_0cc[4];
    uint64_t efer; /* 0xd0 */
    uint8_t reserved_0d8[0x148 - 0xd8];
    uint64_t cr4; /* 0x148 */
    uint64_t cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved_180[0x1d8 - 0x180];
    uint64_t rsp; /* 0x1d8 */
    uint8_t reserved_1e0[0x268 - 0x1e0];
    uint64_t g_pat; /* 0x268 */
    uint8_t reserved_270[0x3b0 - 0x270];
    uint64_t sev_features; /* 0x3b0 */
    uint8_t reserved_3b8[0x3e8 - 0x3b8];
    uint64_t xcr0; /* 0x3e8 */
    uint8_t reserved_3f0[0x408 - 0x3f0];
    uint32_t mxcsr; /* 0x408 */
    uint16_t x87_ftw, x87_fsw, x87_fcw;
    uint8_t reserved_412[0x1000 - 0x412];
};

_Static_assert(offsetof(struct vmsa, efer) == 0xd0 && offsetof(struct vmsa, cr4) == 0x148, "VMSA");
_Static_assert(offsetof(struct vmsa, rsp) == 0x1d8 && offsetof(struct vmsa, g_pat) == 0x268, "VMSA");
_Static_assert(offsetof(struct vmsa, sev_features) == 0x3b0 && offsetof(struct vmsa, mxcsr) == 0x408, "VMSA");
_Static_assert(offsetof(struct vmsa, rip) == 0x178 && offsetof(struct vmsa, x87_fcw) == 0x410, "VMSA");
_Static_assert(sizeof(struct vmsa) == PAGE_SIZE, "VMSA");

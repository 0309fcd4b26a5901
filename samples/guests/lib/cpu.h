/* Instructions and registers of the processor. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "end.h"
#include "memory.h"

#define MSR_APIC_BASE 0x1b
#define MSR_EFER 0xc0000080
#define MSR_GS_BASE 0xc0000101
#define MSR_GHCB 0xc0010130
#define MSR_SEV_STATUS 0xc0010131

/* What reset.S found out. */
struct boot_facts {
    uint64_t sev_status;
    uint64_t c_bit; /* mask for page table entries */
    uint64_t random;
};

static inline const struct boot_facts *boot_facts(void)
{
    return (const struct boot_facts *)BOOT_FACTS;
}

/* What each vCPU has for itself: its GS base points here. */
struct cpu {
    struct cpu *self;
    uint64_t ghcb; /* GPA, 0 before open_ghcb */
    bool console;  /* the serial port may be used */
};

static inline struct cpu *this_cpu(void)
{
    struct cpu *cpu;
    __asm__ volatile("movq %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

static inline uint64_t read_msr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(msr) : "memory");
}

struct registers {
    uint32_t eax, ebx, ecx, edx;
};

/* Raises #VC: exceptions.c answers it. */
static inline struct registers cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct registers r;
    __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}

/* IN and OUT raise #VC as well. */
static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out8_string(uint16_t port, const void *bytes, size_t count)
{
    __asm__ volatile("rep outsb" : "+S"(bytes), "+c"(count) : "d"(port) : "memory");
}

static inline void vmgexit(void)
{
    __asm__ volatile(".byte 0xf3, 0x0f, 0x01, 0xd9" : : : "memory"); /* REP VMMCALL */
}

enum page_size { SIZE_4K = 0, SIZE_2M = 1 };

enum { SUCCESS = 0, FAIL_INPUT = 1, FAIL_PERMISSION = 2, FAIL_SIZEMISMATCH = 6 };

struct pvalidate_result {
    uint32_t code;
    bool unchanged; /* CF: the page was in this state before */
};

/* AMD APM volume 3, PVALIDATE. */
static inline struct pvalidate_result pvalidate(uint64_t address, enum page_size size, bool validate)
{
    struct pvalidate_result result;
    uint64_t rax = address;
    __asm__ volatile(".byte 0xf2, 0x0f, 0x01, 0xff" /* PVALIDATE */
                     : "+a"(rax), "=@ccc"(result.unchanged)
                     : "c"(size), "d"(validate)
                     : "memory");
    result.code = (uint32_t)rax;
    return result;
}

#define RMPADJUST_VMSA (1u << 16)

/* Sets the permissions of another VMPL for a page. AMD APM volume 3, RMPADJUST. */
static inline uint32_t rmpadjust(uint64_t address, enum page_size size, uint32_t attributes)
{
    uint64_t rax = address;
    __asm__ volatile(".byte 0xf3, 0x0f, 0x01, 0xfe" /* RMPADJUST */
                     : "+a"(rax)
                     : "c"(size), "d"(attributes)
                     : "memory", "cc");
    return (uint32_t)rax;
}

static inline void flush_address(uint64_t address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static inline uint64_t read_cr2(void)
{
    uint64_t value;
    __asm__ volatile("movq %%cr2, %0" : "=r"(value));
    return value;
}

static inline uint64_t read_cr4(void)
{
    uint64_t value;
    __asm__ volatile("movq %%cr4, %0" : "=r"(value));
    return value;
}

static inline void pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

/* Compilers may call these. */
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);

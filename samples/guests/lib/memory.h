/*
 * Where the sample guests have what. Guest virtual addresses are guest physical addresses. For C and assembly.
 *
 * What is marked L is launched: the SEV metadata of the image lists it, the VMM adds it with LAUNCH_UPDATE, and it
 * is validated when the guest starts. All other memory is private by the VMM's attributes, and not validated.
 */
#pragma once

#define IMAGE 0xffff0000        /* L  the firmware image: code and constants, 64 KiB up to 4 GiB */

#define RAM_LOW 0x800000        /* L  0x800000 to 0x808fff */
#define RAM_LOW_SIZE 0x9000
#define PML4 0x800000           /*    page tables: 0 to 4 GiB with pages of 2 MiB ... */
#define PDPT 0x801000
#define PAGE_DIRECTORIES 0x802000
#define PAGE_TABLE 0x806000     /*    ... and 0x800000 to 0x9fffff with pages of 4 KiB */
#define IDT64 0x807000
#define IDT32 0x807800
#define BOOT_FACTS 0x807c00     /*    what the start in 32-bit mode found out: struct boot_facts */
#define CPU_BSP 0x808000        /*    struct cpu of the first vCPU */

#define GHCB_BSP 0x809000       /*    to be shared with the host: mapped without C-bit */
#define GHCB_AP 0x80a000
#define REQUEST_PAGE 0x80b000
#define RESPONSE_PAGE 0x80c000
#define SHARED_PAGES 4

#define SECRETS 0x80d000        /* L  secrets page */
#define CPUID_PAGE 0x80e000     /* L  CPUID page */

#define GUARD_BSP 0x80f000      /*    not mapped: a stack that grows too far ends here */
#define RAM_HIGH 0x810000       /* L  0x810000 to 0x81ffff */
#define RAM_HIGH_SIZE 0x10000
#define STACK_BSP_END 0x814000
#define GUARD_AP 0x814000       /*    not mapped */
#define STACK_AP_END 0x817000
#define VMSA_AP 0x817000        /*    never at a multiple of 2 MiB: KVM refuses such a VMSA */
#define CPU_AP 0x818000
#define MESSAGE_OUT 0x819000    /*    private copies of the messages for the firmware */
#define MESSAGE_IN 0x81a000
#define SPARE_PAGE_TABLE 0x81b000
#define GUEST_DATA 0x81c000     /*    variables of a guest that its vCPUs share */
#define SPARE_PAGE 0x81d000

#define FREE_MEMORY 0xa00000    /*    up to the guest: private, not validated, aligned to 2 MiB */
#define FREE_MEMORY_SIZE 0x400000

#define PAGE_SIZE 0x1000
#define LARGE_PAGE_SIZE 0x200000

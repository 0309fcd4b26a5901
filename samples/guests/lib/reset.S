/*
 * The last page of the image: from the reset vector through 32-bit mode into C code in long mode, and the tables
 * that QEMU reads from the end of a firmware image.
 *
 * As OVMF does it: the position of the C-bit comes from CPUID, CPUID raises #VC in an SNP guest, and a small #VC
 * handler answers it from the CPUID page, which the firmware of the processor has checked.
 */
#include "end.h"
#include "memory.h"

        .set    MSR_EFER, 0xc0000080
        .set    MSR_GHCB, 0xc0010130
        .set    MSR_SEV_STATUS, 0xc0010131

        .set    CODE32, 0x08
        .set    DATA, 0x10
        .set    CODE64, 0x18

        .set    EXIT_CPUID, 0x72
        .set    VC, 29

        .set    PRESENT_WRITABLE, 0x3
        .set    LARGE, 0x80

        .macro  vmgexit                         // REP VMMCALL; older assemblers refuse the prefix
        .byte   0xf3, 0x0f, 0x01, 0xd9
        .endm

        .macro  end_guest code                  // needs no memory: the GHCB MSR is enough
        movl    $MSR_GHCB, %ecx
        movl    $0x100 | END_SET << 12 | \code << 16, %eax
        xorl    %edx, %edx
        wrmsr
        vmgexit
        jmp     halt
        .endm

        .section .reset, "ax"
page:

// -------------------------------------------------------------------------------------------------------------------
// 16-bit real mode, CS base 0xffff0000. Interrupts are off, and stay off.

        .code16
        .globl  start16
start16:
        lgdtl   %cs:gdt_pointer - IMAGE
        movl    $0x31, %eax                     // CR0: NE, ET, PE
        movl    %eax, %cr0
        ljmpl   $CODE32, $start32

// Other vCPUs of the launch start here, should the host send them a SIPI. They wait for ever: the sample guests start
// a second vCPU with a VMSA of their own.
        .globl  ap_start16
ap_start16:
        movl    $MSR_GHCB, %ecx
        movl    $0x006, %eax                    // AP reset hold
        xorl    %edx, %edx
        wrmsr
        vmgexit
        jmp     ap_start16

// -------------------------------------------------------------------------------------------------------------------
// 32-bit protected mode without paging: all memory is accessed as private. Only launched memory is usable.

        .code32
        .globl  start32
start32:
        movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %fs
        movl    %eax, %gs
        movl    %eax, %ss
        movl    $STACK_BSP_END, %esp

        movl    $vc32, %eax                     // an interrupt descriptor table that knows #VC only
        movl    %eax, %edx
        andl    $0xffff, %eax
        orl     $CODE32 << 16, %eax
        movw    $0x8e00, %dx
        movl    %eax, IDT32 + 8 * VC
        movl    %edx, IDT32 + 8 * VC + 4
        lidtl   idt32_pointer

        movl    $0x80000000, %eax               // #VC, answered below
        xorl    %ecx, %ecx
        cpuid
        cmpl    $0x8000001f, %eax
        jb      halt                            // no encrypted guest: nobody to ask for termination
        movl    $0x8000001f, %eax
        xorl    %ecx, %ecx
        cpuid
        testl   $0x2, %eax                      // SEV
        jz      halt
        andl    $0x3f, %ebx                     // position of the C-bit
        movl    %ebx, %edi

        movl    $MSR_SEV_STATUS, %ecx           // never intercepted: the answer is the processor's own
        rdmsr
        movl    %eax, BOOT_FACTS
        movl    %edx, BOOT_FACTS + 4
        andl    $0x7, %eax                      // SEV, SEV-ES, SNP
        cmpl    $0x7, %eax
        jne     halt

        subl    $32, %edi
        jb      bad_c_bit32
        xorl    %ebx, %ebx
        btsl    %edi, %ebx                      // the upper half of the C-bit mask, and of all leaf entries
        movl    %ebx, BOOT_FACTS + 12           // the lower half is zero, as the memory was

// Page tables for 0 to 4 GiB. Leaf entries have the C-bit; walks of the tables are private whatever the entries say.
        movl    $PDPT + PRESENT_WRITABLE, PML4
        movl    $PAGE_DIRECTORIES + PRESENT_WRITABLE, %eax
        movl    $PDPT, %edi
1:      movl    %eax, (%edi)
        addl    $PAGE_SIZE, %eax
        addl    $8, %edi
        cmpl    $PDPT + 4 * 8, %edi
        jne     1b

        movl    $LARGE + PRESENT_WRITABLE, %eax
        movl    $PAGE_DIRECTORIES, %edi
2:      movl    %eax, (%edi)
        movl    %ebx, 4(%edi)
        addl    $8, %edi
        addl    $LARGE_PAGE_SIZE, %eax
        jnc     2b

        movl    $RAM_LOW + PRESENT_WRITABLE, %eax
        movl    $PAGE_TABLE, %edi
3:      movl    %eax, (%edi)
        movl    %ebx, 4(%edi)
        addl    $8, %edi
        addl    $PAGE_SIZE, %eax
        cmpl    $PAGE_TABLE + PAGE_SIZE, %edi
        jne     3b
        movl    $PAGE_TABLE + PRESENT_WRITABLE, PAGE_DIRECTORIES + RAM_LOW / LARGE_PAGE_SIZE * 8
        movl    $0, PAGE_DIRECTORIES + RAM_LOW / LARGE_PAGE_SIZE * 8 + 4

        .set    ENTRY_OF, PAGE_TABLE - RAM_LOW / PAGE_SIZE * 8
        movl    $ENTRY_OF + GHCB_BSP / PAGE_SIZE * 8, %edi
        movl    $SHARED_PAGES, %ecx             // pages for the host: no C-bit
4:      movl    $0, 4(%edi)
        addl    $8, %edi
        loop    4b
        movl    $0, ENTRY_OF + GUARD_BSP / PAGE_SIZE * 8
        movl    $0, ENTRY_OF + GUARD_AP / PAGE_SIZE * 8

5:      rdrand  %esi                           // kept to try the C-bit: written here as private ...
        jnc     5b
        movl    %esi, BOOT_FACTS + 16

        movl    %cr4, %eax
        orl     $0x20, %eax                     // PAE
        movl    %eax, %cr4
        movl    $PML4, %eax
        movl    %eax, %cr3
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $0x100, %eax                    // LME
        wrmsr
        movl    $0x80000031, %eax               // PG, NE, ET, PE
        movl    %eax, %cr0
        ljmpl   $CODE64, $start64

bad_c_bit32:
        end_guest END_C_BIT
halt:
        hlt
        jmp     halt

// #VC in 32-bit mode: CPUID, answered from the CPUID page; anything else ends the guest. ECX counts as 0.
// Stack: error code (= exit code), EIP, CS, EFLAGS.
        .globl  vc32
vc32:
        cmpl    $EXIT_CPUID, (%esp)
        jne     3f
        pushl   %esi
        pushl   %edi
        movl    CPUID_PAGE, %edi                // number of entries
        movl    $CPUID_PAGE + 16, %esi
1:      subl    $1, %edi
        jb      2f
        cmpl    %eax, (%esi)                    // EAX_IN
        jne     4f
        cmpl    $0, 4(%esi)                     // ECX_IN
        jne     4f
        movl    24(%esi), %eax
        movl    28(%esi), %ebx
        movl    32(%esi), %ecx
        movl    36(%esi), %edx
        jmp     5f
4:      addl    $48, %esi
        jmp     1b
2:      xorl    %eax, %eax                      // a leaf that the page does not have
        xorl    %ebx, %ebx
        xorl    %ecx, %ecx
        xorl    %edx, %edx
5:      popl    %edi
        popl    %esi
        addl    $4, %esp                        // error code
        addl    $2, (%esp)                      // beyond CPUID
        iretl
3:      end_guest END_UNEXPECTED_VC

// -------------------------------------------------------------------------------------------------------------------
// Long mode.

        .code64
        .globl  start64
start64:
        movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %fs
        movl    %eax, %gs
        movl    %eax, %ss
        movl    $STACK_BSP_END, %esp
        movl    $BOOT_FACTS, %eax
        cmpl    %esi, 16(%rax)                  // ... and read back here through the C-bit
        jne     bad_c_bit64
        xorl    %ebp, %ebp
        call    start_c
bad_c_bit64:
        end_guest END_C_BIT

// -------------------------------------------------------------------------------------------------------------------
// Descriptors have their accessed bit, so that the processor does not write into the image.

        .balign 8
        .globl  gdt
gdt:
        .quad   0
        .quad   0x00cf9b000000ffff              // CODE32
        .quad   0x00cf93000000ffff              // DATA
        .quad   0x00af9b000000ffff              // CODE64
gdt_end:
gdt_pointer:
        .short  gdt_end - gdt - 1
        .long   gdt
idt32_pointer:
        .short  8 * (VC + 1) - 1
        .long   IDT32

// -------------------------------------------------------------------------------------------------------------------
// SEV metadata: what else the VMM has to launch. OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm.

        .macro  launched base, size, type
        .long   \base, \size, \type
        .endm

        .balign 16
metadata:
        .ascii  "ASEV"
        .long   metadata_end - metadata
        .long   1                               // version
        .long   (metadata_end - sections) / 12
sections:
        launched RAM_LOW, RAM_LOW_SIZE, 1       // SEC_MEM: a page of zeros, validated
        launched SECRETS, PAGE_SIZE, 2
        launched CPUID_PAGE, PAGE_SIZE, 3
        launched RAM_HIGH, RAM_HIGH_SIZE, 1
metadata_end:

// -------------------------------------------------------------------------------------------------------------------
// The GUIDed table, read from its end: each entry is its data, its length with these 18 bytes, its GUID.
// OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm.

        .macro  guid a, b, c, d, e
        .long   \a
        .short  \b, \c
        .byte   (\d) >> 8, (\d) & 0xff
        .byte   (\e) >> 40, ((\e) >> 32) & 0xff, ((\e) >> 24) & 0xff, ((\e) >> 16) & 0xff
        .byte   ((\e) >> 8) & 0xff, (\e) & 0xff
        .endm

        .set    TABLE_SIZE, 18 + 22 + 22

        .org    PAGE_SIZE - 32 - TABLE_SIZE
        .long   page_end - metadata             // SEV metadata, counted from the end of the image
        .short  22
        guid    0xdc886566, 0x984a, 0x4798, 0xa75e, 0x5585a7bf67cc
        .long   ap_start16                      // SEV-ES reset block: where the other vCPUs start
        .short  22
        guid    0x00f771de, 0x1a7e, 0x4fcb, 0x890e, 0x68c77e2fb44e
        .short  TABLE_SIZE                      // footer
        guid    0x96b582de, 0x1fb2, 0x45f7, 0xbaea, 0xa366c55a082d

// -------------------------------------------------------------------------------------------------------------------
        .org    PAGE_SIZE - 16                  // the first instruction: CS:IP f000:fff0, 16 bytes below 4 GiB
        .code16
        .globl  reset_vector
reset_vector:
        jmp     start16
        .org    PAGE_SIZE
page_end:

        .section .note.GNU-stack, "", @progbits

# The smallest firmware image that an SNP launch accepts: 64 KiB that end at 4 GiB, with a reset vector, the
# GUIDed table that QEMU reads (AP reset address, SEV metadata, area of the kernel hashes), and code that asks the
# host to end the guest.
#
# Build: node scripts/build-samples.mjs. For the images of the gallery --defsym leaves parts out: NO_HASHES the area
# of the kernel hashes, NO_HASHES_SECTION their section, NO_METADATA the SEV metadata, NO_RESET_BLOCK the SEV-ES reset
# block; EMPTY_HASHES makes the area 0 bytes long, as general OVMF builds have it.

        .code16
        .text
image:

        .set    MSR_GHCB, 0xc0010130
        .set    GHCB_TERMINATE, 0x100           # reason set 0, reason 0: general request
        .set    GHCB_AP_RESET_HOLD, 0x006

# Memory that the VMM hands to the firmware before the first instruction (SEV metadata below).
        .set    SEC_MEM_BASE, 0x10000
        .set    SEC_MEM_SIZE, 0x4000
        .set    SECRETS_BASE, 0x14000
        .set    CPUID_BASE, 0x15000
        .set    HASHES_BASE, 0x16000
        .set    HASHES_TABLE, 0x16c00
        .set    HASHES_TABLE_SIZE, 0x400
        .set    PAGE, 0x1000

# ----------------------------------------------------------------------------------------------------------------
# Code: 16-bit real mode, CS base 0xffff0000. Memory is private here, and nothing of it is needed: the GHCB MSR
# alone can talk to the host.

        .macro  vmgexit                         # REP VMMCALL; older assemblers refuse the prefix
        .byte   0xf3, 0x0f, 0x01, 0xd9
        .endm

        .org    0xf000
bsp_start:
        movl    $MSR_GHCB, %ecx
        movl    $GHCB_TERMINATE, %eax
        xorl    %edx, %edx
        wrmsr
        vmgexit
1:      hlt
        jmp     1b

ap_start:
        movl    $MSR_GHCB, %ecx
        movl    $GHCB_AP_RESET_HOLD, %eax
        xorl    %edx, %edx
        wrmsr
        vmgexit
        jmp     ap_start

# ----------------------------------------------------------------------------------------------------------------
# SEV metadata: what else the VMM has to launch. OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm.

        .set    SEC_MEM, 1
        .set    SECRETS, 2
        .set    CPUID, 3
        .set    KERNEL_HASHES, 0x10

        .macro  section base, size, type
        .long   \base, \size, \type
        .endm

        .ifndef NO_METADATA
        .balign 16, 0
metadata:
        .ascii  "ASEV"
        .long   metadata_end - metadata
        .long   1                               # version
        .long   (metadata_end - sections) / 12
sections:
        section SEC_MEM_BASE, SEC_MEM_SIZE, SEC_MEM
        section SECRETS_BASE, PAGE, SECRETS
        section CPUID_BASE, PAGE, CPUID
        .ifndef NO_HASHES_SECTION
        section HASHES_BASE, PAGE, KERNEL_HASHES
        .endif
metadata_end:
        .endif

# ----------------------------------------------------------------------------------------------------------------
# The GUIDed table, read from its end: each entry is its data, its length with these 18 bytes, its GUID.
# OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm.

        .macro  guid a, b, c, d, e
        .long   \a
        .short  \b, \c
        .byte   (\d) >> 8, (\d) & 0xff
        .byte   (\e) >> 40, ((\e) >> 32) & 0xff, ((\e) >> 24) & 0xff, ((\e) >> 16) & 0xff
        .byte   ((\e) >> 8) & 0xff, (\e) & 0xff
        .endm

# Entries and the footer end at 4 GiB - 32; the size of the table depends on what is left out.
        .set    TABLE_SIZE, 18
        .ifndef NO_RESET_BLOCK
        .set    TABLE_SIZE, TABLE_SIZE + 22
        .endif
        .ifndef NO_METADATA
        .set    TABLE_SIZE, TABLE_SIZE + 22
        .endif
        .ifndef NO_HASHES
        .set    TABLE_SIZE, TABLE_SIZE + 26
        .endif

        .org    0x10000 - 32 - TABLE_SIZE
table:
        .ifndef NO_HASHES                       # area of the kernel hashes
        .ifdef  EMPTY_HASHES
        .long   0, 0
        .else
        .long   HASHES_TABLE, HASHES_TABLE_SIZE
        .endif
        .short  26
        guid    0x7255371f, 0x3a3b, 0x4b04, 0x927b, 0x1da6efa8d454
        .endif

        .ifndef NO_METADATA                     # SEV metadata, counted from the end of the image
        .long   0x10000 - (metadata - image)
        .short  22
        guid    0xdc886566, 0x984a, 0x4798, 0xa75e, 0x5585a7bf67cc
        .endif

        .ifndef NO_RESET_BLOCK                  # SEV-ES reset block: where the other vCPUs start
        .long   0xffff0000 + (ap_start - image)
        .short  22
        guid    0x00f771de, 0x1a7e, 0x4fcb, 0x890e, 0x68c77e2fb44e
        .endif

        .short  TABLE_SIZE                      # footer
        guid    0x96b582de, 0x1fb2, 0x45f7, 0xbaea, 0xa366c55a082d

        .org    0x10000 - 32
        .fill   16, 1, 0

# ----------------------------------------------------------------------------------------------------------------
        .org    0xfff0                          # the first instruction
        jmp     bsp_start
        .org    0x10000

/* Reset vector of a processor without SNP: straight to 64-bit mode with pages of 2 MiB, then start_plain. */
        .set    TABLES, 0x800000
        .set    STACK_END, 0x900000

        .section .reset, "ax"

        .code16
start16:
        lgdtl   %cs:gdt_pointer - 0xffff0000
        movl    $0x11, %eax                     // CR0: ET, PE
        movl    %eax, %cr0
        ljmpl   $0x08, $start32

        .code32
start32:
        movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $TABLES, %edi                   // PML4, PDPT, four page directories: 0 to 4 GiB
        movl    $TABLES + 0x1003, (%edi)
        movl    $TABLES + 0x2003, %eax
        movl    $4, %ecx
1:      addl    $8, %edi
        movl    %eax, 0x1000 - 8(%edi)
        addl    $0x1000, %eax
        loop    1b
        movl    $TABLES + 0x2000, %edi
        movl    $0x83, %eax
2:      movl    %eax, (%edi)
        addl    $8, %edi
        addl    $0x200000, %eax
        jnc     2b
        movl    %cr4, %eax
        orl     $0x220, %eax                    // OSFXSR, PAE
        movl    %eax, %cr4
        movl    $TABLES, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx               // EFER
        rdmsr
        orl     $0x100, %eax                    // LME
        wrmsr
        movl    $0x80000011, %eax
        movl    %eax, %cr0
        ljmpl   $0x18, $start64

        .code64
start64:
        movl    $STACK_END, %esp
        call    start_plain

        .balign 8
gdt:
        .quad   0
        .quad   0x00cf9b000000ffff
        .quad   0x00cf93000000ffff
        .quad   0x00af9b000000ffff
gdt_pointer:
        .short  31
        .long   gdt

        .org    0xff0
        .code16
        .globl  reset_vector
reset_vector:
        jmp     start16
        .org    0x1000

        .section .note.GNU-stack, "", @progbits

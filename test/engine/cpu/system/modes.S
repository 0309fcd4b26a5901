# From 16-bit real mode to 64-bit user mode and back, with exceptions on the way. Every event appends a word to `log`.
# Linked at 0x1000; page tables at 0x10000; all addresses fit 16 bits.
.code16
.globl _start
_start:
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x8000, %sp
    # A real-mode interrupt through the vector table.
    movw $real_handler, 0x21*4
    movw $0, 0x21*4+2
    int $0x21
    # Segmented access beyond the data segment's base.
    mov $0x900, %ax
    mov %ax, %es
    movw $0x1234, %es:4
    cmpw $0x1234, 0x9004
    jne fail16
    pushw $0x1102
    call append16
    lgdt gdt_pointer
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmp $8, $protected
fail16:
    hlt
real_handler:
    pushw $0x1121
    call append16
    iret
append16:
    push %bp
    mov %sp, %bp
    push %bx
    mov 4(%bp), %ax
    mov log_end, %bx
    mov %ax, (%bx)
    addw $2, log_end
    pop %bx
    pop %bp
    ret $2

.code32
protected:
    mov $0x10, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x8000, %esp
    lidt idt32_pointer
    ud2                      # 32-bit gate; the handler skips it
    # The limit of a small segment.
    mov $0x40, %ax
    mov %ax, %fs
    movl %fs:0x0c, %eax
    movl %fs:0x0d, %eax      # #GP: last byte is beyond
    # 2-MiB identity map, and 4-KiB pages at 2 MiB: present read-only, user, not present.
    mov $0x10000, %edi
    xor %eax, %eax
    mov $0x4000/4, %ecx
    rep stosl
    movl $0x11007, 0x10000
    movl $0x12007, 0x11000
    movl $0x87, 0x12000
    movl $0x13007, 0x12008
    movl $0x14001, 0x13000   # 0x200000: supervisor, read-only
    movl $0x15007, 0x13008   # 0x201000: user
    movl $0x16003, 0x13018   # 0x203000: no-execute
    movl $0x80000000, 0x1301c
    mov $0x10000, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x220, %eax
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x901, %eax          # NXE, LME, SCE
    wrmsr
    mov %cr0, %eax
    or $0x80010000, %eax     # PG, WP
    mov %eax, %cr0
    ljmp $0x18, $long_mode
ud32:
    mov $0x2206, %eax
    call append32
    addl $2, (%esp)
    iret
gp32:
    add $4, %esp
    mov $0x220d, %eax
    call append32
    addl $6, (%esp)          # 64 A1 and a displacement of 32 bits
    iret
append32:
    push %ebx
    mov log_end, %ebx
    movw %ax, (%ebx)
    addl $2, log_end
    pop %ebx
    ret

.code64
long_mode:
    xor %eax, %eax
    mov %ax, %ss
    mov $0x8000, %esp
    lidt idt64_pointer
    mov $0x30, %ax
    ltr %ax
    mov $resume1, %r15
    ud2
resume1:
    mov $resume2, %r15
    xor %ecx, %ecx
    div %ecx
resume2:
    mov $resume3, %r15
    mov 0x202000, %rax       # not present: error code 0
resume3:
    mov $resume4, %r15
    mov %rax, 0x200000       # read-only with WP: error code 3
resume4:
    mov $resume5, %r15
    mov $0x203000, %rax
    jmp *%rax                # no-execute: error code 0x11
resume5:
    mov $resume6, %r15
    mov $0x8000000000000000, %rax
    mov (%rax), %rbx         # not canonical: #GP
resume6:
    int $0x80
    # Dirty and accessed bits: 0x201000 was never touched.
    mov 0x13008, %rax
    call append64
    mov 0x201000, %rbx
    mov 0x13008, %rax
    call append64
    mov %rbx, 0x201000
    mov 0x13008, %rax
    call append64
    # SYSCALL targets, then IRETQ to user mode.
    mov $0xc0000081, %ecx
    xor %eax, %eax
    mov $0x00180018, %edx    # kernel CS 0x18, SS 0x20; SYSRET base 0x18: user SS 0x20|3, CS 0x28|3
    wrmsr
    mov $0xc0000082, %ecx
    mov $syscall_entry, %eax
    xor %edx, %edx
    wrmsr
    mov $0xc0000084, %ecx
    mov $0x200, %eax
    wrmsr
    pushq $0x23
    pushq $0x201f00
    pushq $0x202
    pushq $0x2b
    pushq $0x201100
    mov $user_code, %esi
    mov $0x201100, %edi
    mov $user_end - user_code, %ecx
    rep movsb
    mov $done, %r15
    iretq
syscall_entry:
    mov %cs, %eax
    or $0x5500, %eax
    call append64
    pushfq
    pop %rax
    and $0x200, %eax
    or $0x5000, %eax
    call append64            # IF masked
    sysretq
done:
    mov $0x5aa5, %eax
    call append64
    hlt

append64:
    push %rbx
    mov log_end, %ebx
    movw %ax, (%rbx)
    addl $2, log_end
    pop %rbx
    ret

# Runs at 0x201100 in user mode; position independent.
user_code:
    syscall
    mov %cs, %eax
    mov $0x77, %ebx
    cli                      # #GP at CPL 3: back to done through the handler
user_end:

.macro stub vector, code
h\vector:
    .if \code == 0
    pushq $0
    .endif
    push %rax
    mov $0x6600 + \vector, %eax
    call append64
    mov 8(%rsp), %rax        # error code
    or $0x7000, %eax
    call append64
    mov 24(%rsp), %rax       # CS
    or $0x4000, %eax
    call append64
    pop %rax
    add $8, %rsp
    .if \vector == 0x80
    iretq
    .endif
    cmpl $0x2b, 8(%rsp)
    jne 1f
    movl $0x18, 8(%rsp)      # from user mode: continue in the kernel
    movq $0, 32(%rsp)        # SS of 64-bit mode may be null at CPL 0
    movq $0x8000, 24(%rsp)
1:  mov %r15, (%rsp)
    iretq
.endm
stub 0, 0
stub 6, 0
stub 0x80, 0
stub 13, 1
stub 14, 1

.balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff # 08 code 32
    .quad 0x00cf93000000ffff # 10 data
    .quad 0x00af9b000000ffff # 18 code 64
    .quad 0x00cff3000000ffff # 20 user data
    .quad 0x00affb000000ffff # 28 user code 64
    .word 0x67, tss, 0x8900, 0 # 30 TSS, 16 bytes
    .quad 0
    .word 0x0f, log, 0x9300, 0 # 40 data segment of 16 bytes
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
idt32:
    .fill 6, 8, 0
    .word ud32, 8, 0x8e00, 0
    .fill 6, 8, 0
    .word gp32, 8, 0x8e00, 0
idt32_end:
idt32_pointer:
    .word idt32_end - idt32 - 1
    .long idt32
.macro gate handler
    .word \handler, 0x18, 0xee00, 0, 0, 0, 0, 0
.endm
.balign 8
idt64:
    gate h0
    .fill 5*16, 1, 0
    gate h6
    .fill 6*16, 1, 0
    gate h13
    gate h14
    .fill 113*16, 1, 0
    gate h0x80
idt64_end:
idt64_pointer:
    .word idt64_end - idt64 - 1
    .quad idt64
.balign 8
tss:
    .long 0
    .quad 0x7000             # RSP0
    .fill 92, 1, 0
.globl log_end, log
log_end: .long log
.balign 16
log: .fill 128, 2, 0

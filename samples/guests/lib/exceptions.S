/* One entry for each exception, 16 bytes apart: the vector, and an error code where the processor pushes none. */
        .text
        .globl  exception_entries
        .balign 16
exception_entries:
        .set    vector, 0
        .rept   32
        .balign 16
        .if     !((0x60227d00 >> vector) & 1)   // 8, 10-14, 17, 21, 29, 30 have an error code
        pushq   $0
        .endif
        pushq   $vector
        jmp     save
        .set    vector, vector + 1
        .endr

save:
        pushq   %rax
        pushq   %rcx
        pushq   %rdx
        pushq   %rbx
        pushq   %rbp
        pushq   %rsi
        pushq   %rdi
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    %rsp, %rdi                      // struct frame
        cld
        call    exception
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rdi
        popq    %rsi
        popq    %rbp
        popq    %rbx
        popq    %rdx
        popq    %rcx
        popq    %rax
        addq    $16, %rsp                       // vector and error code
        iretq

        .section .note.GNU-stack, "", @progbits

        .section .rodata
        .balign 16
        .globl  program_bytes, program_bytes_end
program_bytes:
        .incbin "program.bin"
program_bytes_end:

        .section .note.GNU-stack, "", @progbits

/*
 * Head of the program with the kernels. Firmware copies it to PROGRAM and calls it there: `run` of kernels.c is too far
 * from the firmware for a call, and its variables need memory that can be written.
 */
        .section .head, "ax"
        jmp     run
        .balign 8
        .quad   data_start
        .quad   data_end
        .quad   bss_end

        .section .note.GNU-stack, "", @progbits

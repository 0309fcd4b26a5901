/* Exceptions in long mode, #VC above all. */
#pragma once

#include "cpu.h"

/* What exceptions.S leaves on the stack. */
struct frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error_code;
    uint64_t rip, cs, rflags, rsp, ss;
};

enum { VECTOR_VC = 29 };

/* Loads an interrupt descriptor table with all 32 exceptions. */
void open_exceptions(void);

/* Lets another function handle a vector. */
void set_exception_handler(unsigned vector, uint64_t handler);

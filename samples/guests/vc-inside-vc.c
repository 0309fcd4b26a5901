/*
 * vc-inside-vc: the #VC handler itself executes CPUID. That raises #VC, whose handler executes CPUID, and so on, until
 * the stack is full. The exception for that finds no stack either: double fault, then shutdown.
 */
#include "lib/exceptions.h"
#include "lib/print.h"
#include "lib/start.h"
#include "lib/vc.h"

struct interrupt_frame;

__attribute__((interrupt)) static void bad_handler(struct interrupt_frame *frame, uint64_t error_code)
{
    (void)frame, (void)error_code;
    if (cpuid(0, 0).ebx != 0x68747541) /* "Auth" */
        print("not a processor of AMD\n");
}

void guest_main(void)
{
    start_talking();
    print("mistake: the #VC handler executes CPUID\n");
    set_exception_handler(VECTOR_VC, (uint64_t)bad_handler);
    cpuid(0, 0);
    print("vc-inside-vc: never reached\n");
}

/*
 * account: a guest that defends itself. It has validated each page once and never does so again, and it looks at the
 * instruction before it answers a #VC. The host attacks it: see the manifests.
 */
#include "account.h"

void __real_handle_vc(struct frame *frame);

/* In front of the handler of the library (ld --wrap): #VC comes from an instruction, and the bytes of it say so. */
void __wrap_handle_vc(struct frame *frame)
{
    const uint8_t *code = (const uint8_t *)frame->rip;
    bool is_cpuid = code[0] == 0x0f && code[1] == 0xa2;
    if (frame->error_code == EXIT_CPUID && !is_cpuid) {
        print("#VC for CPUID, but at 0x%lx is %x %x: the host has injected it\n", frame->rip, code[0], code[1]);
        end(END_UNEXPECTED_VC);
    }
    __real_handle_vc(frame);
}

void guest_main(void)
{
    keep_account();
    print("account: finished\n");
}

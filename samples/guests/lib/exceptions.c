#include "exceptions.h"

#include "ghcb-msr.h"
#include "print.h"
#include "vc.h"

#define CODE64 0x18
#define INTERRUPT_GATE 0x8e00ull

extern const uint8_t exception_entries[];

void set_exception_handler(unsigned vector, uint64_t handler)
{
    uint64_t *gate = (uint64_t *)IDT64 + 2 * vector;
    gate[0] = (handler & 0xffff) | CODE64 << 16 | INTERRUPT_GATE << 32 | (handler >> 16 & 0xffff) << 48;
    gate[1] = handler >> 32;
}

void open_exceptions(void)
{
    for (unsigned vector = 0; vector < 32; vector++)
        set_exception_handler(vector, (uint64_t)exception_entries + 16 * vector);
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } table = {32 * 16 - 1, IDT64};
    __asm__ volatile("lidt %0" : : "m"(table));
}

/* Called by exceptions.S. */
void exception(struct frame *frame)
{
    if (frame->vector == VECTOR_VC) {
        handle_vc(frame);
        return;
    }
    print("exception %lu, error code 0x%lx, at 0x%lx, CR2 0x%lx\n", frame->vector, frame->error_code, frame->rip,
          read_cr2());
    end(END_EXCEPTION);
}

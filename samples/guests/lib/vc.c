#include "vc.h"

#include "ghcb-msr.h"
#include "ghcb.h"
#include "print.h"

static _Noreturn void unknown(const struct frame *frame, const char *what)
{
    print("#VC, exit 0x%lx at 0x%lx: %s\n", frame->error_code, frame->rip, what);
    end(END_UNEXPECTED_VC);
}

static void vc_cpuid(struct frame *frame)
{
    struct registers r = cpuid_from_page((uint32_t)frame->rax, (uint32_t)frame->rcx);
    frame->rax = r.eax;
    frame->rbx = r.ebx;
    frame->rcx = r.ecx;
    frame->rdx = r.edx;
    frame->rip += 2;
}

/* SW_EXITINFO1 of IOIO. AMD APM volume 2, IOIO intercept. */
enum {
    IOIO_IN = 1 << 0,
    IOIO_STRING = 1 << 2,
    IOIO_REP = 1 << 3,
    IOIO_SIZE_8 = 1 << 4,
    IOIO_SIZE_16 = 1 << 5,
    IOIO_SIZE_32 = 1 << 6,
    IOIO_ADDRESS_64 = 1 << 9,
    IOIO_DS = 3 << 10,
};

/* The host cannot read the guest's memory: the bytes go through the buffer of the GHCB, as many as fit at a time. */
static void vc_outsb(struct frame *frame)
{
    while (frame->rcx) {
        volatile struct ghcb *page = ghcb_begin();
        uint64_t count = frame->rcx < sizeof(page->buffer) ? frame->rcx : sizeof(page->buffer);
        memcpy((void *)page->buffer, (const void *)frame->rsi, count);
        ghcb_set(page, scratch, (uint64_t)page->buffer);
        uint64_t info1 = (frame->rdx & 0xffff) << 16 | IOIO_DS | IOIO_ADDRESS_64 | IOIO_SIZE_8 | IOIO_REP | IOIO_STRING;
        ghcb_call(page, EXIT_IOIO, info1, count);
        frame->rsi += count;
        frame->rcx -= count;
    }
    frame->rip += 2;
}

static void vc_ioio(struct frame *frame)
{
    const uint8_t *code = (const uint8_t *)frame->rip;
    if (code[0] == 0xf3 && code[1] == 0x6e) {
        vc_outsb(frame);
        return;
    }
    unsigned length = 1;
    bool is_16_bit = code[0] == 0x66;
    if (is_16_bit)
        code++, length++;
    unsigned opcode = code[0];
    if ((opcode & 0xf4) != 0xe4) /* e4-e7, ec-ef */
        unknown(frame, "not an IN or OUT that the handler knows");

    bool is_in = !(opcode & 2);
    uint64_t port = frame->rdx & 0xffff;
    if (!(opcode & 8)) { /* port in the instruction */
        port = code[1];
        length++;
    }
    uint64_t info1 = port << 16 | (is_in ? IOIO_IN : 0);
    uint64_t mask;
    if (!(opcode & 1)) {
        info1 |= IOIO_SIZE_8;
        mask = 0xff;
    } else if (is_16_bit) {
        info1 |= IOIO_SIZE_16;
        mask = 0xffff;
    } else {
        info1 |= IOIO_SIZE_32;
        mask = 0xffffffff;
    }

    volatile struct ghcb *page = ghcb_begin();
    if (!is_in)
        ghcb_set(page, rax, frame->rax & mask);
    ghcb_call(page, EXIT_IOIO, info1, 0);
    if (is_in) {
        if (!ghcb_has(page, rax))
            unknown(frame, "the host gives no value");
        uint64_t kept = mask == 0xffffffff ? 0 : frame->rax & ~mask; /* a write of EAX clears the upper half */
        frame->rax = kept | (page->rax & mask);
    }
    frame->rip += length;
}

static void vc_msr(struct frame *frame)
{
    bool is_write = ((const uint8_t *)frame->rip)[1] == 0x30;
    volatile struct ghcb *page = ghcb_begin();
    ghcb_set(page, rcx, frame->rcx);
    if (is_write) {
        ghcb_set(page, rax, frame->rax);
        ghcb_set(page, rdx, frame->rdx);
    }
    ghcb_call(page, EXIT_MSR, is_write, 0);
    if (!is_write) {
        if (!ghcb_has(page, rax) || !ghcb_has(page, rdx))
            unknown(frame, "the host gives no value");
        frame->rax = (uint32_t)page->rax;
        frame->rdx = (uint32_t)page->rdx;
    }
    frame->rip += 2;
}

void handle_vc(struct frame *frame)
{
    switch (frame->error_code) {
    case EXIT_CPUID:
        vc_cpuid(frame);
        break;
    case EXIT_IOIO:
        vc_ioio(frame);
        break;
    case EXIT_MSR:
        vc_msr(frame);
        break;
    case EXIT_NOT_VALIDATED: {
        uint64_t address = read_cr2();
        print("#VC, exit 0x404 at 0x%lx: the page of address 0x%lx is not validated\n", frame->rip, address);
        end(END_NOT_VALIDATED);
    }
    default:
        unknown(frame, "not handled");
    }
}

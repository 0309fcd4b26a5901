/*
 * Executes instruction sequences on the processor of this machine. Reads cases from standard input, writes the
 * state after each to standard output; see native.ts for the format.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define CODE 0x10000000ul
#define DATA 0x20000000ul
#define STATE 0x6b430000ul
#define DATA_SIZE 8192
#define WINDOW 512
#define WINDOW_AT (DATA + DATA_SIZE / 2 - WINDOW / 2)

struct input {
  uint64_t code_length, gpr[16], flags;
  uint8_t unit[512], window[WINDOW], code[64];
};

struct output {
  uint64_t trap, rip, cr2, error, gpr[16], flags;
  uint8_t unit[512], window[WINDOW];
  uint64_t checksum;
};

/* Offsets are used by the assembly below. */
struct state {
  uint64_t gpr[16];      /* 0 */
  uint64_t flags;        /* 128 */
  uint64_t host_rsp;     /* 136 */
  uint64_t entry, leave; /* 144, 152 */
  uint32_t plain_mxcsr;  /* 160 */
  uint8_t gap[28];
  uint8_t unit[512] __attribute__((aligned(16))); /* 192: x87, MMX, XMM and MXCSR as FXSAVE has them */
};
#define state ((struct state *)STATE)

void enter_case(void);
void leave_case(void);
void after_signal(void);
#define S "0x6b430000"
#define LOAD(n, r) "mov " S "+8*" #n ", %" r "\n"
#define SAVE(n, r) "mov %" r ", " S "+8*" #n "\n"
#define ALL(X)                                                                                                         \
  X(1, "rcx") X(2, "rdx") X(3, "rbx") X(5, "rbp") X(6, "rsi") X(7, "rdi") X(8, "r8") X(9, "r9") X(10, "r10")         \
      X(11, "r11") X(12, "r12") X(13, "r13") X(14, "r14") X(15, "r15")
__asm__(".globl enter_case, leave_case, after_signal\n"
        "enter_case:\n"
        "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, " S "+136\nfxrstorq " S "+192\npushq " S "+128\npopfq\n" ALL(LOAD) LOAD(0, "rax") LOAD(4, "rsp")
        "jmp *" S "+144\n"
        "leave_case:\n" SAVE(0, "rax") SAVE(4, "rsp") ALL(SAVE) "mov " S "+136, %rsp\n"
        "pushfq\npopq " S "+128\nfxsaveq " S "+192\n"
        "after_signal:\n"
        "mov " S "+136, %rsp\ncld\nfninit\nldmxcsr " S "+160\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n");

static struct output out;

static void on_signal(int number, siginfo_t *info, void *context) {
  static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  ucontext_t *u = context;
  greg_t *g = u->uc_mcontext.gregs;
  (void)number, (void)info;
  if ((uint64_t)g[REG_RIP] < CODE || (uint64_t)g[REG_RIP] >= CODE + 4096) abort();
  for (int i = 0; i < 16; i++) state->gpr[i] = g[order[i]];
  state->flags = g[REG_EFL];
  memcpy(state->unit, u->uc_mcontext.fpregs, 512);
  out.trap = g[REG_TRAPNO];
  out.error = g[REG_ERR];
  out.rip = g[REG_RIP];
  out.cr2 = g[REG_TRAPNO] == 14 ? g[REG_CR2] : 0;
  g[REG_RIP] = (greg_t)after_signal;
  g[REG_EFL] &= ~0x400;
}

static void map(uint64_t at, size_t size, int protection) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (mmap((void *)at, size, protection, flags, -1, 0) != (void *)at) exit(3);
}

int main(void) {
  static uint8_t alternate[65536];
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  static struct input in;
  map(CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
  map(DATA, DATA_SIZE, PROT_READ | PROT_WRITE);
  map(STATE, 4096, PROT_READ | PROT_WRITE);
  sigaltstack(&stack, NULL);
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
  while (fread(&in, sizeof in, 1, stdin) == 1) {
    static const uint8_t stub[7] = {0xff, 0x24, 0x25, 0x98, 0x00, 0x43, 0x6b}; /* jmp *STATE+152 */
    memset((void *)DATA, 0, DATA_SIZE);
    memset((void *)CODE, 0, 4096);
    state->entry = CODE;
    state->leave = (uint64_t)leave_case;
    memcpy((void *)WINDOW_AT, in.window, WINDOW);
    memcpy((void *)CODE, in.code, in.code_length);
    memcpy((uint8_t *)CODE + in.code_length, stub, sizeof stub);
    memcpy(state->gpr, in.gpr, sizeof in.gpr);
    memcpy(state->unit, in.unit, sizeof in.unit);
    state->plain_mxcsr = 0x1f80;
    state->flags = in.flags;
    out.trap = ~0ul;
    out.rip = CODE + in.code_length;
    out.cr2 = out.error = 0;
    enter_case();
    memcpy(out.gpr, state->gpr, sizeof out.gpr);
    memcpy(out.unit, state->unit, sizeof out.unit);
    out.flags = state->flags;
    memcpy(out.window, (void *)WINDOW_AT, WINDOW);
    out.checksum = 0;
    for (uint32_t *p = (uint32_t *)DATA; p < (uint32_t *)(DATA + DATA_SIZE); p++)
      out.checksum = (uint32_t)(out.checksum * 31 + *p);
    fwrite(&out, sizeof out, 1, stdout);
  }
  return 0;
}

/* The kernels in an SNP guest: private memory, private code. */
#include "ghcb-msr.h"
#include "pages.h"
#include "program.h"
#include "serial.h"
#include "start.h"

void report(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    debug_console(text, length);
}

void guest_main(void)
{
    start_talking();
    accept_memory(PROGRAM, PROGRAM_MEMORY);
    run_kernels();
}

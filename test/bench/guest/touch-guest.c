/* Accepts TOUCHED bytes and writes to each page. */
#include "pages.h"
#include "print.h"
#include "start.h"

void guest_main(void)
{
    start_talking();
    accept_memory(FREE_MEMORY, TOUCHED);
    for (uint64_t at = FREE_MEMORY; at < FREE_MEMORY + TOUCHED; at += PAGE_SIZE)
        *(volatile uint64_t *)at = at;
    print("touched %u MiB\n", TOUCHED >> 20);
}

#include "ghcb.h"

#include "ghcb-msr.h"
#include "print.h"

volatile struct ghcb *ghcb_begin(void)
{
    volatile struct ghcb *page = (volatile struct ghcb *)this_cpu()->ghcb;
    if (!page)
        end(END_NO_GHCB);
    page->valid[0] = 0;
    page->valid[1] = 0;
    page->version = 2;
    page->usage = 0;
    return page;
}

struct ghcb_answer ghcb_exit(volatile struct ghcb *page, uint64_t code, uint64_t info1, uint64_t info2)
{
    ghcb_set(page, exit_code, code);
    ghcb_set(page, exit_info1, info1);
    ghcb_set(page, exit_info2, info2);
    write_msr(MSR_GHCB, (uint64_t)page);
    vmgexit();
    return (struct ghcb_answer){(uint32_t)page->exit_info1, page->exit_info2};
}

uint64_t ghcb_call(volatile struct ghcb *page, uint64_t code, uint64_t info1, uint64_t info2)
{
    struct ghcb_answer answer = ghcb_exit(page, code, info1, info2);
    if (answer.status == 0)
        return answer.info2;
    if (code == EXIT_IOIO)
        this_cpu()->console = false; /* the words below would come back here */
    if (answer.status == 2) {
        print("exit 0x%lx: the host refuses: %s\n", code, refusal(answer.info2));
        end(END_HOST_REFUSED);
    }
    print("exit 0x%lx: the host asks for an exception: 0x%lx\n", code, answer.info2);
    end(END_HOST_EXCEPTION);
}

const char *refusal(uint64_t reason)
{
    static const char *const words[] = {
        "no reason",          "GHCB not registered", "unknown use of the GHCB", "scratch area not usable",
        "an input is missing", "an input is wrong",   "unknown event",
    };
    return reason < sizeof(words) / sizeof(words[0]) ? words[reason] : "unknown reason";
}

void open_ghcb(uint64_t gpa)
{
    msr_register_ghcb(gpa);
    uint64_t expected = msr_hypervisor_features();

    this_cpu()->ghcb = gpa;
    memset((void *)gpa, 0, PAGE_SIZE);
    /* The same question through the page: a host that does not see the page cannot answer it. */
    if (ghcb_call(ghcb_begin(), EXIT_HV_FEATURES, 0, 0) != expected)
        end(END_GHCB_UNSEEN);
}

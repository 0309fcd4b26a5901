/*
 * unknown-exit: the guest asks the host for an event that no host knows.
 */
#include "lib/ghcb.h"
#include "lib/print.h"
#include "lib/start.h"

#define NO_SUCH_EVENT 0x80000099

void guest_main(void)
{
    start_talking();
    print("mistake: the guest asks for event 0x%x, which the GHCB specification does not have\n", NO_SUCH_EVENT);
    ghcb_call(ghcb_begin(), NO_SUCH_EVENT, 0, 0);
    print("unknown-exit: the host did something\n");
}

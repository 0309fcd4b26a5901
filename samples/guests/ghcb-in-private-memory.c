/*
 * ghcb-in-private-memory: the GHCB is an ordinary variable of the guest, never shared with the host.
 *
 * Nothing complains: the guest writes the page with its key, the host looks at another page, the shared one of the
 * same address, and answers there. The guest reads its own question again and takes it for the answer. open_ghcb()
 * finds out because it knows the answer to its first question.
 */
#include "lib/ghcb-msr.h"
#include "lib/ghcb.h"
#include "lib/print.h"
#include "lib/serial.h"
#include "lib/start.h"

void guest_main(void)
{
    negotiate_protocol();
    if (!(msr_hypervisor_features() & HV_SNP))
        end(END_HV_FEATURES);
    /* Here belongs a page state change to shared, and a mapping without C-bit. */
    open_ghcb(SPARE_PAGE);
    open_serial();
    print("ghcb-in-private-memory: the host reads private memory\n");
}

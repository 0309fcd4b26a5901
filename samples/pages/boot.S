# A guest of one page, without firmware: loaded at 0x1000, started there by the VMSA in pages.snp.yaml, in 16-bit
# real mode. It asks the host to end it. Build: node scripts/build-samples.mjs.

        .code16
        .text
        .set    MSR_GHCB, 0xc0010130
        .set    GHCB_TERMINATE, 0x100           # reason set 0, reason 0: general request

boot:
        movl    $MSR_GHCB, %ecx
        movl    $GHCB_TERMINATE, %eax
        xorl    %edx, %edx
        wrmsr
        .byte   0xf3, 0x0f, 0x01, 0xd9          # VMGEXIT: REP VMMCALL
1:      hlt
        jmp     1b

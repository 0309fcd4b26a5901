/*
 * How a sample guest ends: it asks the host for termination with the GHCB MSR protocol (request 0x100), with a
 * reason set of its own. Sets 0 (GHCB specification) and 1 (Linux) are taken. For C and assembly.
 */
#pragma once

#define END_SET 0xf

#define END_FINISHED 0x00        /* the sample guest finished */
#define END_UNEXPECTED_VC 0x01   /* #VC for an exit that the handler does not know */
#define END_NOT_VALIDATED 0x02   /* #VC 0x404: access to a private page that was never validated */
#define END_EXCEPTION 0x03       /* another exception of the processor */
#define END_FEATURES 0x04        /* SEV_STATUS has a feature that the sample guests do not support */
#define END_C_BIT 0x05           /* CPUID names no usable C-bit, or memory does not keep its content through it */
#define END_PROTOCOL 0x06        /* the host does not speak version 2 of the GHCB protocol */
#define END_HV_FEATURES 0x07     /* the host lacks a feature that the guest needs: SNP or AP creation */
#define END_MSR_RESPONSE 0x08    /* the host answered a request of the GHCB MSR protocol with another code */
#define END_REGISTRATION 0x09    /* the host refused the GHCB page */
#define END_NO_GHCB 0x0a         /* an exit needs the GHCB page, and there is none yet */
#define END_GHCB_UNSEEN 0x0b     /* the host does not see what the guest writes into the GHCB: page not shared */
#define END_HOST_REFUSED 0x0c    /* the host refused a request: SW_EXITINFO1 is 2 */
#define END_HOST_EXCEPTION 0x0d  /* the host asks the guest to raise an exception: SW_EXITINFO1 is 1 */
#define END_PAGE_STATE 0x0e      /* a page state change failed */
#define END_PVALIDATE 0x0f       /* PVALIDATE returned an error */
#define END_SIZE_MISMATCH 0x10   /* PVALIDATE returned FAIL_SIZEMISMATCH, and nobody handles it */
#define END_UNCHANGED 0x11       /* PVALIDATE set CF: the page was in the requested state before */
#define END_VMPL 0x12            /* RMPADJUST failed: the guest does not run at VMPL 0 */
#define END_GUEST_REQUEST 0x13   /* the guest request for a report failed */
#define END_RESPONSE 0x14        /* the answer to the guest request is not authentic, or not what was asked for */
#define END_AP 0x15              /* the second vCPU could not be started, or is silent */
#define END_STEP_FAILED 0x16     /* a step of the guest failed: its lines on the console say which */

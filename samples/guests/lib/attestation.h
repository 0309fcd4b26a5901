/*
 * The attestation report: the guest asks the firmware of the processor with a message that the host carries but can
 * neither read nor change. SEV-SNP Firmware ABI (AMD publication 56860), guest messages and ATTESTATION_REPORT.
 */
#pragma once

#include "cpu.h"

struct attestation_report {
    uint32_t version;
    uint32_t guest_svn;
    uint64_t policy;
    uint8_t family_id[16];
    uint8_t image_id[16];
    uint32_t vmpl;
    uint32_t signature_algorithm;
    uint64_t current_tcb;
    uint64_t platform_info;
    uint32_t key_info;
    uint32_t reserved_04c;
    uint8_t report_data[64];
    uint8_t measurement[48];
    uint8_t host_data[32];
    uint8_t id_key_digest[48];
    uint8_t author_key_digest[48];
    uint8_t report_id[32];
    uint8_t report_id_ma[32];
    uint64_t reported_tcb;
    uint8_t cpuid_family, cpuid_model, cpuid_stepping;
    uint8_t reserved_18b[21];
    uint8_t chip_id[64];
    uint64_t committed_tcb;
    uint8_t current_build, current_minor, current_major, reserved_1eb;
    uint8_t committed_build, committed_minor, committed_major, reserved_1ef;
    uint64_t launch_tcb;
    uint8_t reserved_1f8[0x2a0 - 0x1f8];
    uint8_t signature_r[72], signature_s[72];
    uint8_t reserved_330[0x4a0 - 0x330];
};

_Static_assert(offsetof(struct attestation_report, chip_id) == 0x1a0, "report");
_Static_assert(sizeof(struct attestation_report) == 0x4a0, "report");

/* A report with `report_data` in it. REQUEST_PAGE and RESPONSE_PAGE must be shared. Ends the guest if that fails. */
const struct attestation_report *request_report(const uint8_t report_data[64]);

/* The fields that a verifier looks at. */
void print_report(const struct attestation_report *report);

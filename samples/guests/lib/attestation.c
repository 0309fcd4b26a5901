#include "attestation.h"

#include "aes-gcm.h"
#include "ghcb-msr.h"
#include "ghcb.h"
#include "print.h"

struct header {
    uint8_t tag[32]; /* 16 are used */
    uint64_t sequence;
    uint64_t reserved_28;
    uint8_t algorithm; /* from here on authenticated */
    uint8_t header_version;
    uint16_t header_size;
    uint8_t type;
    uint8_t version;
    uint16_t size;
    uint32_t reserved_38;
    uint8_t vmpck;
    uint8_t reserved_3d[35];
};

_Static_assert(offsetof(struct header, algorithm) == 0x30 && sizeof(struct header) == 0x60, "message header");

enum { AES_256_GCM = 1, REPORT_REQUEST = 5, REPORT_RESPONSE = 6 };

struct report_request {
    uint8_t report_data[64];
    uint32_t vmpl;
    uint32_t key_select;
    uint8_t reserved[24];
};

struct report_response {
    uint32_t status;
    uint32_t size;
    uint8_t reserved[24];
    struct attestation_report report;
};

struct message {
    struct header header;
    union {
        struct report_request request;
        struct report_response response;
        uint8_t payload[PAGE_SIZE - sizeof(struct header)];
    };
};

_Static_assert(sizeof(struct message) == PAGE_SIZE, "message");

/* Secrets page, as far as it is needed. */
struct secrets {
    uint8_t reserved_000[0x20];
    uint8_t vmpck0[32];
    uint8_t reserved_040[0xa0 - 0x40];
    uint32_t messages0; /* guest's area: how many messages have been counted for VMPCK0 */
};

#define AAD_SIZE (sizeof(struct header) - offsetof(struct header, algorithm))

static void set_iv(uint8_t iv[12], uint64_t sequence)
{
    memset(iv, 0, 12);
    memcpy(iv, &sequence, sizeof(sequence));
}

/* A sequence number must never be used for a second message: the key goes with the attempt. */
static _Noreturn void give_up(unsigned reason)
{
    memset(((struct secrets *)SECRETS)->vmpck0, 0, 32);
    end(reason);
}

const struct attestation_report *request_report(const uint8_t report_data[64])
{
    struct secrets *secrets = (struct secrets *)SECRETS;
    struct message *out = (struct message *)MESSAGE_OUT, *in = (struct message *)MESSAGE_IN;
    uint64_t sequence = (uint64_t)secrets->messages0 + 1;
    struct aes_gcm gcm;
    uint8_t iv[12];
    aes_gcm_key(&gcm, secrets->vmpck0);

    memset(out, 0, sizeof(*out));
    out->header.sequence = sequence;
    out->header.algorithm = AES_256_GCM;
    out->header.header_version = 1;
    out->header.header_size = sizeof(struct header);
    out->header.type = REPORT_REQUEST;
    out->header.version = 1;
    out->header.size = sizeof(struct report_request);
    memcpy(out->request.report_data, report_data, 64);
    set_iv(iv, sequence);
    aes_gcm_seal(&gcm, iv, &out->header.algorithm, AAD_SIZE, out->payload, out->header.size, out->header.tag);

    /* The host sees copies in shared pages; keys and plain text stay in private memory. */
    memcpy((void *)REQUEST_PAGE, out, PAGE_SIZE);
    memset((void *)RESPONSE_PAGE, 0, PAGE_SIZE);
    struct ghcb_answer answer = ghcb_exit(ghcb_begin(), EXIT_GUEST_REQUEST, REQUEST_PAGE, RESPONSE_PAGE);
    if (answer.status || answer.info2) {
        print("guest request: SW_EXITINFO1 %u, host error %lu, firmware status 0x%lx\n", answer.status,
              answer.info2 >> 32, answer.info2 & 0xffffffff);
        give_up(END_GUEST_REQUEST);
    }
    memcpy(in, (void *)RESPONSE_PAGE, PAGE_SIZE);

    const struct header *header = &in->header;
    if (header->sequence != sequence + 1 || header->algorithm != AES_256_GCM || header->type != REPORT_RESPONSE ||
        header->vmpck != 0 || header->header_size != sizeof(struct header) ||
        header->size != sizeof(struct report_response)) {
        print("guest request: the answer has type %u, sequence number %lu, %u bytes\n", header->type, header->sequence,
              header->size);
        give_up(END_RESPONSE);
    }
    set_iv(iv, sequence + 1);
    if (!aes_gcm_open(&gcm, iv, &header->algorithm, AAD_SIZE, in->payload, header->size, header->tag)) {
        print("guest request: the answer is not authentic\n");
        give_up(END_RESPONSE);
    }
    secrets->messages0 += 2;

    if (in->response.status || in->response.size != sizeof(struct attestation_report)) {
        print("guest request: status 0x%x, %u bytes\n", in->response.status, in->response.size);
        end(END_RESPONSE);
    }
    if (memcmp(in->response.report.report_data, report_data, 64) != 0) {
        print("guest request: not the report that was asked for\n");
        end(END_RESPONSE);
    }
    return &in->response.report;
}

void print_report(const struct attestation_report *report)
{
    static const char *const keys[] = {"VCEK", "VLEK", "?", "?", "?", "?", "?", "none"};
    print("attestation report, version %u\n", report->version);
    print("  policy        0x%lx\n", report->policy);
    print("  VMPL          %u\n", report->vmpl);
    print("  guest SVN     %u\n", report->guest_svn);
    print("  firmware      %u.%u build %u\n", report->current_major, report->current_minor, report->current_build);
    print("  TCB           0x%016lx\n", report->current_tcb);
    print("  platform info 0x%lx\n", report->platform_info);
    print("  signed by     %s\n", keys[report->key_info >> 2 & 7]);
    print("  measurement\n");
    print_bytes("    ", report->measurement, sizeof(report->measurement), 24);
    print("  report data\n");
    print_bytes("    ", report->report_data, sizeof(report->report_data), 32);
    print("  host data\n");
    print_bytes("    ", report->host_data, sizeof(report->host_data), 32);
    print("  chip id\n");
    print_bytes("    ", report->chip_id, sizeof(report->chip_id), 32);
}

/*
 * AES-256 in Galois/Counter Mode (FIPS 197, NIST SP 800-38D), for the messages between guest and firmware. Short, not
 * fast, and not hardened against timing: a guest has nobody beside it in these few microseconds, a library has.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aes_gcm {
    uint8_t round_keys[15][16];
    uint8_t sbox[256];
    uint64_t hash_key[2]; /* the block H, big end first */
};

void aes_gcm_key(struct aes_gcm *gcm, const uint8_t key[32]);

/* Encrypts `data` in place; `aad` is authenticated only. */
void aes_gcm_seal(const struct aes_gcm *gcm, const uint8_t iv[12], const void *aad, size_t aad_size, void *data,
                  size_t size, uint8_t tag[16]);

/* False, and no plain text in `data`, if the tag is wrong. */
bool aes_gcm_open(const struct aes_gcm *gcm, const uint8_t iv[12], const void *aad, size_t aad_size, void *data,
                  size_t size, const uint8_t tag[16]);

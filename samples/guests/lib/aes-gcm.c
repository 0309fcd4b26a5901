#include "aes-gcm.h"

enum { BLOCK = 16, ROUNDS = 14, KEY_WORDS = 8 };

static uint8_t times2(uint8_t a)
{
    return (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1b : 0));
}

static uint8_t rotate(uint8_t a, unsigned by)
{
    return (uint8_t)(a << by | a >> (8 - by));
}

/* The S-box from its definition: inverse in GF(2^8), then an affine map. `p` runs through all elements but 0 as powers
 * of 3, `q` through their inverses. */
static void make_sbox(uint8_t sbox[256])
{
    uint8_t p = 1, q = 1;
    do {
        p ^= times2(p);
        q ^= (uint8_t)(q << 1); /* divided by 3 */
        q ^= (uint8_t)(q << 2);
        q ^= (uint8_t)(q << 4);
        if (q & 0x80)
            q ^= 0x09;
        sbox[p] = q ^ rotate(q, 1) ^ rotate(q, 2) ^ rotate(q, 3) ^ rotate(q, 4) ^ 0x63;
    } while (p != 1);
    sbox[0] = 0x63;
}

static void encrypt_block(const struct aes_gcm *gcm, const uint8_t in[BLOCK], uint8_t out[BLOCK])
{
    uint8_t state[BLOCK];
    for (unsigned i = 0; i < BLOCK; i++)
        state[i] = in[i] ^ gcm->round_keys[0][i];
    for (unsigned round = 1; round <= ROUNDS; round++) {
        uint8_t moved[BLOCK];
        for (unsigned i = 0; i < BLOCK; i++) /* substitute, and shift row i % 4 by i % 4 columns */
            moved[i] = gcm->sbox[state[(i + i % 4 * 4) % BLOCK]];
        for (unsigned i = 0; i < BLOCK; i++) {
            const uint8_t *column = &moved[i & ~3u];
            uint8_t mixed = moved[i];
            if (round < ROUNDS) {
                uint8_t a = column[i % 4], b = column[(i + 1) % 4], c = column[(i + 2) % 4], d = column[(i + 3) % 4];
                mixed = times2(a) ^ times2(b) ^ b ^ c ^ d;
            }
            state[i] = mixed ^ gcm->round_keys[round][i];
        }
    }
    for (unsigned i = 0; i < BLOCK; i++)
        out[i] = state[i];
}

static uint64_t load_big_endian(const uint8_t *at)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value = value << 8 | at[i];
    return value;
}

static void store_big_endian(uint8_t *at, uint64_t value)
{
    for (unsigned i = 8; i-- > 0; value >>= 8)
        at[i] = (uint8_t)value;
}

void aes_gcm_key(struct aes_gcm *gcm, const uint8_t key[32])
{
    make_sbox(gcm->sbox);
    uint8_t *words = gcm->round_keys[0];
    uint8_t constant = 1;
    for (unsigned i = 0; i < 4 * KEY_WORDS; i++)
        words[i] = key[i];
    for (unsigned word = KEY_WORDS; word < 4 * (ROUNDS + 1); word++) {
        uint8_t last[4];
        for (unsigned i = 0; i < 4; i++)
            last[i] = words[4 * word - 4 + i];
        if (word % KEY_WORDS == 0) {
            uint8_t first = last[0];
            last[0] = gcm->sbox[last[1]] ^ constant;
            last[1] = gcm->sbox[last[2]];
            last[2] = gcm->sbox[last[3]];
            last[3] = gcm->sbox[first];
            constant = times2(constant);
        } else if (word % KEY_WORDS == 4) {
            for (unsigned i = 0; i < 4; i++)
                last[i] = gcm->sbox[last[i]];
        }
        for (unsigned i = 0; i < 4; i++)
            words[4 * word + i] = words[4 * (word - KEY_WORDS) + i] ^ last[i];
    }

    uint8_t zero[BLOCK] = {0}, h[BLOCK];
    encrypt_block(gcm, zero, h);
    gcm->hash_key[0] = load_big_endian(h);
    gcm->hash_key[1] = load_big_endian(h + 8);
}

/* y := (y ^ block) * H in GF(2^128), bit by bit. */
static void hash_block(const struct aes_gcm *gcm, uint64_t y[2], const uint8_t block[BLOCK])
{
    uint64_t x[2] = {y[0] ^ load_big_endian(block), y[1] ^ load_big_endian(block + 8)};
    uint64_t v[2] = {gcm->hash_key[0], gcm->hash_key[1]};
    y[0] = y[1] = 0;
    for (unsigned i = 0; i < 128; i++) {
        if (x[i / 64] >> (63 - i % 64) & 1) {
            y[0] ^= v[0];
            y[1] ^= v[1];
        }
        uint64_t carry = v[1] & 1;
        v[1] = v[1] >> 1 | v[0] << 63;
        v[0] = v[0] >> 1 ^ (carry ? 0xe1ull << 56 : 0);
    }
}

static void hash_bytes(const struct aes_gcm *gcm, uint64_t y[2], const uint8_t *data, size_t size)
{
    while (size) {
        uint8_t block[BLOCK] = {0};
        size_t now = size < BLOCK ? size : BLOCK;
        for (size_t i = 0; i < now; i++)
            block[i] = data[i];
        hash_block(gcm, y, block);
        data += now;
        size -= now;
    }
}

static void counter_block(uint8_t block[BLOCK], const uint8_t iv[12], uint32_t counter)
{
    for (unsigned i = 0; i < 12; i++)
        block[i] = iv[i];
    for (unsigned i = 16; i-- > 12; counter >>= 8)
        block[i] = (uint8_t)counter;
}

static void make_tag(const struct aes_gcm *gcm, const uint8_t iv[12], const void *aad, size_t aad_size,
                     const void *data, size_t size, uint8_t tag[16])
{
    uint64_t y[2] = {0, 0};
    uint8_t block[BLOCK];
    hash_bytes(gcm, y, aad, aad_size);
    hash_bytes(gcm, y, data, size);
    store_big_endian(block, (uint64_t)aad_size * 8);
    store_big_endian(block + 8, (uint64_t)size * 8);
    hash_block(gcm, y, block);

    counter_block(block, iv, 1);
    encrypt_block(gcm, block, block);
    store_big_endian(tag, y[0] ^ load_big_endian(block));
    store_big_endian(tag + 8, y[1] ^ load_big_endian(block + 8));
}

static void apply_counter(const struct aes_gcm *gcm, const uint8_t iv[12], uint8_t *data, size_t size)
{
    uint8_t block[BLOCK], stream[BLOCK];
    for (size_t i = 0; i < size; i++) {
        if (i % BLOCK == 0) {
            counter_block(block, iv, (uint32_t)(2 + i / BLOCK));
            encrypt_block(gcm, block, stream);
        }
        data[i] ^= stream[i % BLOCK];
    }
}

void aes_gcm_seal(const struct aes_gcm *gcm, const uint8_t iv[12], const void *aad, size_t aad_size, void *data,
                  size_t size, uint8_t tag[16])
{
    apply_counter(gcm, iv, data, size);
    make_tag(gcm, iv, aad, aad_size, data, size, tag);
}

bool aes_gcm_open(const struct aes_gcm *gcm, const uint8_t iv[12], const void *aad, size_t aad_size, void *data,
                  size_t size, const uint8_t tag[16])
{
    uint8_t expected[16], difference = 0;
    make_tag(gcm, iv, aad, aad_size, data, size, expected);
    for (unsigned i = 0; i < 16; i++)
        difference |= expected[i] ^ tag[i];
    if (difference)
        return false;
    apply_counter(gcm, iv, data, size);
    return true;
}

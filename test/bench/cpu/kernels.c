/*
 * Kernels for the guest CPU's benchmark. No library, integer registers only; run(kernel, rounds) is the entry. The
 * same object file goes into the guest's image and into the native program.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long i64;
#define NOINLINE __attribute__((noinline))

static u8 buffer[1 << 20], buffer2[1 << 20];
static u64 numbers[1 << 16];
static u64 seed = 0x2545f4914f6cdd1dul;

static u64 next_random(void) {
  seed ^= seed << 7;
  seed ^= seed >> 9;
  return seed;
}

/* --- SHA-256: rotates and additions in registers --- */
static u32 round_constants[64];

/* First 32 bits of the fractional parts of cube roots of primes, by integer bisection. */
static void init_constants(void) {
  u32 found = 0;
  for (u32 p = 2; found < 64; p++) {
    int prime = 1;
    for (u32 d = 2; d * d <= p; d++)
      if (p % d == 0) prime = 0;
    if (!prime) continue;
    unsigned __int128 target = (unsigned __int128)p << 96;
    u64 low = 0, high = 1ul << 36;
    while (high - low > 1) {
      u64 middle = (low + high) / 2;
      if ((unsigned __int128)middle * middle * middle <= target) low = middle;
      else high = middle;
    }
    round_constants[found++] = (u32)low;
  }
}

static u32 rotate(u32 x, int n) { return x >> n | x << (32 - n); }

static NOINLINE void sha256_block(u32 *state, const u8 *data) {
  u32 w[64], s[8];
  for (int i = 0; i < 16; i++) w[i] = __builtin_bswap32(*(const u32 *)(data + 4 * i));
  for (int i = 16; i < 64; i++) {
    u32 a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
  }
  for (int i = 0; i < 8; i++) s[i] = state[i];
  for (int i = 0; i < 64; i++) {
    u32 e = s[4], a = s[0];
    u32 t1 = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + round_constants[i] + w[i];
    u32 t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
    s[7] = s[6], s[6] = s[5], s[5] = e, s[4] = s[3] + t1, s[3] = s[2], s[2] = s[1], s[1] = a, s[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) state[i] += s[i];
}

static u64 sha256(u64 rounds) {
  u32 state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  init_constants();
  for (int i = 0; i < 1024; i++) buffer[i] = i * 7;
  for (u64 r = 0; r < rounds; r++)
    for (int at = 0; at < 1024; at += 64) sha256_block(state, buffer + at);
  return (u64)state[0] << 32 | state[7];
}

/* --- sieve: byte stores with long strides --- */
static u64 sieve(u64 rounds) {
  u64 count = 0;
  for (u64 r = 0; r < rounds; r++) {
    for (u64 i = 0; i < sizeof buffer; i += 8) *(u64 *)(buffer + i) = 0x0101010101010101ul;
    for (u64 i = 2; i * i < sizeof buffer; i++)
      if (buffer[i])
        for (u64 k = i * i; k < sizeof buffer; k += i) buffer[k] = 0;
    count = 0;
    for (u64 i = 2; i < sizeof buffer; i++) count += buffer[i];
  }
  return count;
}

/* --- LZ: tokens of literal run, distance, length --- */
static u64 compress(const u8 *in, u64 length, u8 *out) {
  static u32 last[4096];
  u8 *start = out;
  u64 at = 0, literals = 0;
  for (int i = 0; i < 4096; i++) last[i] = 0;
  while (at + 8 < length) {
    u32 hash = (*(const u32 *)(in + at) * 2654435761u) >> 20;
    u64 candidate = last[hash], match = 0;
    last[hash] = at;
    if (candidate && at - candidate < 65536)
      while (match < 255 && at + match < length && in[candidate + match] == in[at + match]) match++;
    if (match < 4 && literals < 255) {
      at++, literals++;
      continue;
    }
    *out++ = literals;
    for (u64 i = 0; i < literals; i++) *out++ = in[at - literals + i];
    if (match < 4) match = 0;
    *out++ = match;
    *(u16 *)out = at - candidate;
    out += 2, at += match, literals = 0;
  }
  return out - start;
}

static NOINLINE u64 decompress(const u8 *in, u64 length, u8 *out) {
  u8 *start = out;
  for (const u8 *end = in + length; in < end;) {
    for (u64 n = *in++; n; n--) *out++ = *in++;
    u64 n = *in++;
    const u8 *from = out - *(const u16 *)in;
    for (in += 2; n; n--) *out++ = *from++;
  }
  return out - start;
}

static u64 lz(u64 rounds) {
  static const char words[] = "secure nested paging validates every page of a guest before it is used ";
  u64 length = 1 << 17, hash = 0;
  for (u64 i = 0; i < length;) {
    u64 r = next_random(), from = r % 50, n = 3 + (r >> 8) % 12;
    for (u64 k = 0; k < n && i < length; k++) buffer2[i++] = words[from + k];
  }
  u64 packed = compress(buffer2, length, buffer);
  for (u64 r = 0; r < rounds; r++) hash = hash * 31 + decompress(buffer, packed, buffer2);
  for (u64 i = 0; i < length - 300; i++) hash = hash * 131 + buffer2[i];
  return hash ^ packed;
}

/* --- quicksort: compares and branches that nobody predicts --- */
static NOINLINE void quicksort(u64 *a, i64 low, i64 high) {
  while (low < high) {
    u64 pivot = a[(low + high) >> 1];
    i64 i = low, k = high;
    while (i <= k) {
      while (a[i] < pivot) i++;
      while (a[k] > pivot) k--;
      if (i <= k) {
        u64 t = a[i];
        a[i++] = a[k], a[k--] = t;
      }
    }
    if (k - low < high - i) {
      quicksort(a, low, k);
      low = i;
    } else {
      quicksort(a, i, high);
      high = k;
    }
  }
}

static u64 sort(u64 rounds) {
  u64 sum = 0;
  for (u64 r = 0; r < rounds; r++) {
    for (int i = 0; i < 1 << 16; i++) numbers[i] = next_random();
    quicksort(numbers, 0, (1 << 16) - 1);
    sum += numbers[r] ^ numbers[32768];
  }
  return sum;
}

/* --- interpreter: an indirect jump for each step --- */
static NOINLINE i64 interpret(const u8 *program, i64 rounds) {
  i64 r[8] = {0, 1, 3, 0, 0, 0, 0, rounds};
  for (u64 pc = 0;;) {
    u8 op = program[pc], x = program[pc + 1], y = program[pc + 2];
    pc += 3;
    switch (op) {
      case 0: return r[0];
      case 1: r[x] += r[y]; break;
      case 2: r[x] -= r[y]; break;
      case 3: r[x] *= r[y]; break;
      case 4: r[x] ^= r[y]; break;
      case 5: r[x] >>= y; break;
      case 6: r[x] = y; break;
      case 7: if (r[x]) pc = y; break;
      case 8: buffer[r[x] & 0xffff] = r[y]; break;
      case 9: r[x] = buffer[r[y] & 0xffff]; break;
      case 10: r[x]--; break;
    }
  }
}

static u64 bytecode(u64 rounds) {
  static const u8 program[] = {1, 1, 2, 3, 4, 1, 4, 0, 4, 1, 0, 1,  8, 0, 4, 9, 5,
                               1, 1, 0, 5, 5, 4, 3, 4, 0, 4, 10, 7, 0, 7, 7, 0, 0};
  return interpret(program, rounds);
}

/* --- strings: hash table with chained names --- */
struct node {
  struct node *next;
  u32 hash;
  char name[28];
};

static NOINLINE u64 same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

static u64 strings(u64 rounds) {
  static struct node pool[2048], *table[256];
  u32 used = 0;
  u64 sum = 0;
  for (int i = 0; i < 256; i++) table[i] = 0;
  for (u64 r = 0; r < rounds; r++) {
    char name[28];
    u32 length = 0, hash = 5381;
    u64 value = next_random() % 1500;
    name[length++] = 'n';
    for (; value; value >>= 4) name[length++] = 'a' + (value & 15);
    name[length] = 0;
    for (u32 i = 0; i < length; i++) hash = hash * 33 + name[i];
    struct node *node = table[hash & 255];
    while (node && !(node->hash == hash && same(node->name, name))) node = node->next;
    if (!node) {
      node = &pool[used++ & 2047];
      node->hash = hash;
      for (u32 i = 0; i <= length; i++) node->name[i] = name[i];
      node->next = table[hash & 255];
      table[hash & 255] = node;
    }
    sum = sum * 7 + node->hash + length;
  }
  return sum + used;
}

/* --- memory: repeated string instructions, a megabyte each --- */
static u64 memory(u64 rounds) {
  u64 sum = 0;
  for (u64 r = 0; r < rounds; r++) {
    void *to = buffer, *from = buffer2;
    u64 bytes = sizeof buffer, words = sizeof buffer2 / 8, value = r * 0x0101010101010101ul;
    __asm__ volatile("rep stosq" : "+D"(from), "+c"(words) : "a"(value) : "memory");
    from = buffer2;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    sum = sum * 31 + buffer[r & 0xfffff];
  }
  return sum;
}

u64 run(u64 kernel, u64 rounds) {
  switch (kernel) {
    case 0: return sha256(rounds);
    case 1: return sieve(rounds);
    case 2: return lz(rounds);
    case 3: return sort(rounds);
    case 4: return bytecode(rounds);
    case 5: return strings(rounds);
    default: return memory(rounds);
  }
}
__asm__(".pushsection .start,\"ax\"\ncall run\nhlt\n.popsection\n");

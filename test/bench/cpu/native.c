/* Runs a kernel on the processor of this machine, or under qemu-user: native KERNEL ROUNDS → result, nanoseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

unsigned long run(unsigned long kernel, unsigned long rounds);

static long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc < 3) return 1;
  long start = now();
  unsigned long result = run(atol(argv[1]), atol(argv[2]));
  return printf("%016lx %ld\n", result, now() - start) < 0;
}

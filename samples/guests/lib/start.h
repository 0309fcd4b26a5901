#pragma once

#include "cpu.h"

/* The guest's own part. When it returns, the guest has finished. */
void guest_main(void);

/* Gives this vCPU its struct cpu. */
void open_cpu(uint64_t address);

/*
 * From nothing to the first line on the serial port: protocol version, features of the hypervisor, a GHCB page shared
 * with the host, registered and tried.
 */
void start_talking(void);

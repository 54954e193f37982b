/*
 * The machines that have tables for GPUs with memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_GPU_MEM_MACHINE_H
#define TESTS_GPU_MEM_MACHINE_H

#include "libqtest.h"

/* Two nodes with CPUs and memory; what follows them is empty */
#define CPU_NODES 2
#define EMPTY_NODES 8
#define LAST_NODE (CPU_NODES + EMPTY_NODES - 1)
#define EMPTY_ARGS                                                      \
    "-numa node,nodeid=2 -numa node,nodeid=3 -numa node,nodeid=4 "      \
    "-numa node,nodeid=5 -numa node,nodeid=6 -numa node,nodeid=7 "      \
    "-numa node,nodeid=8 -numa node,nodeid=9 "

#define GPU_DEVICE "-device pci-testdev,"
#define OBJECT "-object nvidia-gpu-mem-acpi,"

/**
 * GpuMemMachine:
 * @arch: as qtest_get_arch() has it
 * @type: of -machine
 * @args: what it takes besides
 * @express: its root bus is a PCI Express one
 */
typedef struct GpuMemMachine {
    const char *arch;
    const char *type;
    const char *args;
    bool express;
} GpuMemMachine;

/**
 * gpu_mem_next_machine:
 * @machine: one of the machines, or %NULL
 *
 * Returns: the next machine of the QEMU under test, the first after %NULL, or
 *     %NULL when there are no more.
 */
const GpuMemMachine *gpu_mem_next_machine(const GpuMemMachine *machine);

/* Start @machine with its CPUs, its nodes with memory, and what @fmt says */
QTestState *gpu_mem_start(const GpuMemMachine *machine, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/* The configuration space of the device at @bus, @devfn, as a guest sees it */
uint8_t pci_config_readb(QTestState *qts, int bus, int devfn, int offset);
void pci_config_writeb(QTestState *qts, int bus, int devfn, int offset,
                       uint8_t value);
void pci_config_writew(QTestState *qts, int bus, int devfn, int offset,
                       uint16_t value);

#endif

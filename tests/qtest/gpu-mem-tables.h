/*
 * What the tables say of GPUs with memory: the expected against the built
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_GPU_MEM_TABLES_H
#define TESTS_GPU_MEM_TABLES_H

#include "libqtest.h"

/* Two nodes with CPUs and memory; what follows them is empty */
#define MACHINE_ARGS                                                    \
    "-machine virt -cpu cortex-a57 -accel qtest "                       \
    "-display none -nodefaults -m 256M -smp 2 "                         \
    "-object memory-backend-ram,id=ram0,size=128M "                     \
    "-object memory-backend-ram,id=ram1,size=128M "                     \
    "-numa node,nodeid=0,memdev=ram0,cpus=0 "                           \
    "-numa node,nodeid=1,memdev=ram1,cpus=1 "
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
 * Gpu:
 * @bridge: path of its host bridge
 * @hops: slot.function of each device from the host bridge to the GPU, such as
 *     "1.0/0.0"
 * @start: its first node
 * @count: how many it has
 */
typedef struct Gpu {
    const char *bridge;
    const char *hops;
    uint64_t start;
    uint64_t count;
} Gpu;

/**
 * assert_srat:
 * @qts: a QTest of MACHINE_ARGS and what follows
 * @last: the last of the empty nodes, of which the first is CPU_NODES
 *
 * The SRAT has the memory of the nodes with CPUs, then a placeholder for each
 * empty node, ascending, and no other memory.
 */
void assert_srat(QTestState *qts, int last);

/* The DSDT tells of exactly these GPUs, and has no two devices in one place */
void assert_dsdt(QTestState *qts, const Gpu *gpus, int num_gpus);

/* iasl reads the DSDT without a complaint */
void assert_iasl(QTestState *qts);

#endif

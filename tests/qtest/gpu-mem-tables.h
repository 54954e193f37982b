/*
 * What the tables say of GPUs with memory: the expected against the built
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_GPU_MEM_TABLES_H
#define TESTS_GPU_MEM_TABLES_H

#include "gpu-mem-machine.h"

/**
 * Gpu:
 * @bridge: path of its host bridge
 * @hops: slot.function of each device from the host bridge to the GPU, such as
 *     "1.0/0.0"
 * @start: its first node
 * @count: how many it has
 * @has_pxm: it has a _PXM
 * @pxm: the node that it is near to
 */
typedef struct Gpu {
    const char *bridge;
    const char *hops;
    uint64_t start;
    uint64_t count;
    bool has_pxm;
    int64_t pxm;
} Gpu;

/**
 * Initiators:
 * @start: the first of the nodes that a device is an initiator of
 * @count: how many there are
 * @bus: number of the device's bus
 * @devfn: slot and function of the device
 */
typedef struct Initiators {
    uint32_t start;
    uint32_t count;
    uint8_t bus;
    uint8_t devfn;
} Initiators;

/**
 * assert_srat:
 * @qts: a QTest of gpu_mem_start() with empty nodes
 * @last: the last of the empty nodes, of which the first is CPU_NODES
 *
 * The SRAT has the memory of the nodes with CPUs, then a placeholder for each
 * empty node, ascending, and no other memory.
 */
void assert_srat(QTestState *qts, int last);

/**
 * assert_initiators:
 * @qts: as for assert_srat()
 * @initiators: those of each device, by ascending node
 * @num: of how many devices
 *
 * The SRAT has exactly these Generic Initiator Affinity Structures, in this
 * order, after the CPUs and before all memory.
 */
void assert_initiators(QTestState *qts, const Initiators *initiators, int num);

/* The DSDT tells of exactly these GPUs, and has no two devices in one place */
void assert_dsdt(QTestState *qts, const Gpu *gpus, int num_gpus);

/* iasl reads the DSDT without a complaint */
void assert_iasl(QTestState *qts);

#endif

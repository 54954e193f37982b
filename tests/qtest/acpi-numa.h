/*
 * Machines with NUMA nodes, and what their SRAT and HMAT say
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_ACPI_NUMA_H
#define TESTS_ACPI_NUMA_H

#include "libqtest.h"
#include "libqos/generic-pcihost.h"
#include "libqos/pci-pc.h"

/* Nodes 0 and 1 have CPUs and memory; these are empty */
#define CPU_NODES 2
#define EMPTY_ARGS                                                      \
    "-numa node,nodeid=2 -numa node,nodeid=3 -numa node,nodeid=4 "      \
    "-numa node,nodeid=5 -numa node,nodeid=6 -numa node,nodeid=7 "      \
    "-numa node,nodeid=8 -numa node,nodeid=9 "

#define LATENCY(initiator, target, ns)                                  \
    "-numa hmat-lb,initiator=" #initiator ",target=" #target ","        \
    "hierarchy=memory,data-type=access-latency,latency=" #ns " "

/* Each of the machines takes it */
#define PCI_DEVICE "-device sdhci-pci,"
#define INITIATOR "-object acpi-generic-initiator,"

/**
 * NumaMachine:
 * @arch: as qtest_get_arch() has it
 * @type: of -machine
 * @args: what it takes besides
 * @node_mib: memory of a node
 * @express: its root bus is a PCI Express one
 * @old_type: one of the same machine in an earlier version of QEMU, or %NULL
 * @slot_args: what makes a place where a PCI device can be plugged
 * @slot_bus: the bus of this place
 * @slot: its number there
 */
typedef struct NumaMachine {
    const char *arch;
    const char *type;
    const char *args;
    int node_mib;
    bool express;
    const char *old_type;
    const char *slot_args;
    const char *slot_bus;
    int slot;
} NumaMachine;

/**
 * numa_next_machine:
 * @machine: one of the machines, or %NULL
 *
 * Returns: the next machine of the QEMU under test, the first after %NULL, or
 *     %NULL when there are no more.  A QEMU without the PCI device that the
 *     tests use has none.
 */
const NumaMachine *numa_next_machine(const NumaMachine *machine);

/* Returns: arguments of @machine with its nodes 0 and 1, followed by @fmt */
char *numa_args(const NumaMachine *machine, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/* Start @machine with what numa_args() returns */
QTestState *numa_start(const NumaMachine *machine, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/* Returns: whether @machine has host bridges of CXL; virt since QEMU 10.2 */
bool numa_has_cxl(const NumaMachine *machine);

/**
 * NumaCase:
 * @machine: what it is tested on
 * @row: of the table that it comes from, or %NULL
 */
typedef struct NumaCase {
    const NumaMachine *machine;
    const void *row;
} NumaCase;

/* Call @add_tests for each machine */
void numa_add_tests(void (*add_tests)(const NumaMachine *machine));

/* Add a test whose data is a NumaCase, at /PREFIX/MACHINE/NAME */
void numa_add_case(const NumaMachine *machine, const char *prefix,
                   const char *name, GTestDataFunc func, const void *row);

/**
 * numa_run:
 * @args: of QEMU, which ends at once if it starts at all
 * @output: what it prints
 *
 * Returns: its exit status.
 */
int numa_run(const char *args, char **output);

/* Assert that QEMU with @args fails and prints @message */
void assert_refused(const char *args, const char *message);

/* Returns: the arguments of a sdhci-pci @id in the place for plugging */
char *numa_slot_device(const NumaMachine *machine, const char *id);

/* Plug such a device in, or unplug one as the guest does */
void numa_plug(const NumaMachine *machine, QTestState *qts, const char *id);
void numa_unplug(const NumaMachine *machine, QTestState *qts, const char *id);

/* Delete the object @id of -object or object-add */
void numa_object_del(QTestState *qts, const char *id);

/* Storage of numa_pci_bus() */
typedef union NumaPciBus {
    QGenericPCIBus generic;
    QPCIBusPC pc;
} NumaPciBus;

/* Returns: the PCI bus of libqos for the machine */
QPCIBus *numa_pci_bus(NumaPciBus *bus, QTestState *qts);

/* Write the state of @qts to the new file @name, for -incoming file:NAME */
void numa_save(QTestState *qts, const char *name);

/* Wait until the guest runs, such as after -incoming */
void numa_wait_running(QTestState *qts);

/* Returns: the name of a new empty file */
char *numa_tmp_file(void);

/* Assert that the file @name has @text so many times, and delete it */
void assert_log(const char *name, const char *text, int times);

/* Assert that @rsp, of a QMP command, is an error with exactly @desc */
void assert_qmp_error(QDict *rsp, const char *desc);

/**
 * assert_srat_generic:
 * @qts: a QTest of numa_start()
 * @expected: such as "gi2-5@00:20 gp6@c gi7@00:20"
 *
 * The Generic Initiator and Generic Port Affinity Structures of the SRAT are
 * @expected, in this order: "gi" or "gp", the nodes, and bus and devfn of the
 * device, or _UID of the host bridge, in hex.  They come after all CPUs and
 * before all memory.
 */
void assert_srat_generic(QTestState *qts, const char *expected);

/**
 * assert_srat_memory:
 * @qts: a QTest of numa_start()
 * @expected: such as "m0-1 e2-8 h9"
 *
 * The Memory Affinity Structures of the SRAT are @expected, in this order, each
 * with its nodes: "m" for boot memory, "e" for none at address 0, and "h" for a
 * hot-pluggable range.
 */
void assert_srat_memory(QTestState *qts, const char *expected);

/* The number of Memory Affinity Structures that are disabled is @expected */
void assert_srat_disabled(QTestState *qts, int expected);

/**
 * assert_hmat:
 * @qts: a QTest of numa_start()
 * @expected: such as "0 1 5: 0-0=10 5-1=60", or "" without such a structure
 *
 * The initiators of the first System Locality Latency and Bandwidth Information
 * Structure of the HMAT, and the latencies in it that are not 0, each as
 * INITIATOR-TARGET=NANOSECONDS, are @expected.
 */
void assert_hmat(QTestState *qts, const char *expected);

#endif

/*
 * QTest of the SRAT's entries for NUMA nodes without memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "acpi-numa.h"

#define DEVICES PCI_DEVICE "id=dev0,addr=4 "
#define DIMM_ARGS "-m slots=2,maxmem=8G "

typedef struct EmptyCase {
    const char *name;
    bool cxl;
    const char *args;
    const char *expected;
    const char *on_old_type;
} EmptyCase;

static const EmptyCase cases[] = {
    {
        "none", false, "", "m0-1", "m0-1",
    }, {
        "last", false, EMPTY_ARGS, "m0-1 e2-9", "m0-1",
    }, {
        "between", false, "-numa node,nodeid=2 -numa node,nodeid=3 "
        "-numa node,nodeid=4,memdev=ram2 -numa node,nodeid=5",
        "m0-1 e2-3 m4 e5", "m0-1 m4",
    }, {
        "cpus-only", false, "-smp 4 -numa node,nodeid=2 "
        "-numa node,nodeid=3,cpus=2-3 -numa node,nodeid=4",
        "m0-1 e2 e4", "m0-1",
    }, {
        "initiator", false, EMPTY_ARGS DEVICES
        INITIATOR "id=gi0,pci-dev=dev0,node=2 "
        INITIATOR "id=gi1,pci-dev=dev0,node=5",
        "m0-1 e3-4 e6-9", "m0-1",
    }, {
        "port", true, EMPTY_ARGS "-machine cxl=on "
        "-device pxb-cxl,id=cxl0,bus=pcie.0,bus_nr=12 "
        "-object acpi-generic-port,id=gp0,pci-bus=cxl0,node=5",
        "m0-1 e2-4 e6-9", "m0-1",
    }, {
        "dimms/no-empty-node", false, DIMM_ARGS, "m0-1 h1", "m0-1 h1",
    }, {
        "dimms/empty-node", false, EMPTY_ARGS DIMM_ARGS,
        "m0-1 e2-8 h9", "m0-1 h9",
    }, {
        "dimms/last-has-memory", false, "-numa node,nodeid=2 "
        "-numa node,nodeid=3,memdev=ram2 " DIMM_ARGS,
        "m0-1 e2 m3 h3", "m0-1 m3 h3",
    }, {
        "dimms/last-has-cpus-only", false, "-smp 4 -numa node,nodeid=2 "
        "-numa node,nodeid=3,cpus=2-3 " DIMM_ARGS,
        "m0-1 e2 h3", "m0-1 h3",
    }, {
        "dimms/last-is-initiator", false, EMPTY_ARGS DIMM_ARGS DEVICES
        INITIATOR "id=gi0,pci-dev=dev0,node=9",
        "m0-1 e2-8 h9", "m0-1 h9",
    },
};

#define SP_MEM "-object memory-backend-ram,id=spm0,size=128M " \
    "-device sp-mem,id=sp0,memdev=spm0,node="

/* The range for DIMMs comes last.  An sp-mem in it has an entry of its own. */
static const EmptyCase sp_mem_cases[] = {
    {
        "sp-mem", false, EMPTY_ARGS DIMM_ARGS SP_MEM "3",
        "m0-1 e2 e4-9 m3 h9", "m0-1 m3 h9",
    }, {
        "sp-mem/last", false, EMPTY_ARGS DIMM_ARGS SP_MEM "9",
        "m0-1 e2-8 m9 h9", "m0-1 m9 h9",
    }, {
        /* The range begins at 4 GiB */
        "sp-mem/in-the-middle", false, EMPTY_ARGS DIMM_ARGS
        SP_MEM "3,addr=0x180000000",
        "m0-1 e2 e4-9 h9 m3 h9", "m0-1 h9 m3 h9",
    }, {
        "sp-mem/all-of-range", false, EMPTY_ARGS "-m maxmem=384M " SP_MEM "3",
        "m0-1 e2 e4-9 m3", "m0-1 m3",
    },
};

static bool has_ram2(const EmptyCase *c)
{
    return strstr(c->args, "memdev=ram2");
}

static QTestState *start(const NumaMachine *machine, const EmptyCase *c)
{
    g_autofree char *ram2 = g_strdup_printf(
        "-object memory-backend-ram,id=ram2,size=%dM -m %dM ",
        machine->node_mib, 3 * machine->node_mib);

    return numa_start(machine, "%s %s", has_ram2(c) ? ram2 : "", c->args);
}

static bool takes(const NumaMachine *machine, const EmptyCase *c)
{
    return !c->cxl || numa_has_cxl(machine);
}

static void test_case(const void *data)
{
    const NumaCase *c = data;
    const EmptyCase *empty = c->row;
    QTestState *qts = start(c->machine, empty);

    assert_srat_memory(qts, empty->expected);
    qtest_quit(qts);
}

/*
 * An older type has the entries that it has always had.  On x86 some are
 * disabled: there are two entries more than nodes, and the first node has two.
 */
static void test_old_type(const void *data)
{
    const NumaCase *c = data;
    const EmptyCase *empty = c->row;
    NumaMachine old = *c->machine;
    QTestState *qts;

    old.type = old.old_type;
    qts = start(&old, empty);
    assert_srat_memory(qts, empty->on_old_type);
    if (g_str_equal(qtest_get_arch(), "x86_64")) {
        const char *at = empty->args;
        int nodes = CPU_NODES;
        int enabled = CPU_NODES + 1 + has_ram2(empty);

        while ((at = strstr(at, "-numa node"))) {
            at++;
            nodes++;
        }
        assert_srat_disabled(qts, nodes + 2 - enabled);
    }
    qtest_quit(qts);
}

/* A node is empty again when the initiator is deleted */
static void test_while_running(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    QTestState *qts = numa_start(machine, EMPTY_ARGS DEVICES);

    qtest_qmp_assert_success(qts, "{'execute': 'object-add', 'arguments': "
                             "{'id': 'gi0', 'pci-dev': 'dev0', 'node': 9, "
                             "'qom-type': 'acpi-generic-initiator'}}");
    qtest_system_reset(qts);
    assert_srat_memory(qts, "m0-1 e2-8");
    qtest_qmp_assert_success(qts, "{'execute': 'object-del', "
                             "'arguments': {'id': 'gi0'}}");
    qtest_system_reset(qts);
    assert_srat_memory(qts, "m0-1 e2-9");
    qtest_quit(qts);
}

/* Also when the device of the initiator is gone: a node must not be lost */
static void test_device_unplugged(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    g_autofree char *device = numa_slot_device(machine, "slot-dev");
    QTestState *qts = numa_start(machine, "%s %s" EMPTY_ARGS
                                 INITIATOR "id=gi0,pci-dev=slot-dev,node=4",
                                 machine->slot_args, device);

    assert_srat_memory(qts, "m0-1 e2-3 e5-9");
    numa_unplug(machine, qts, "slot-dev");
    qtest_system_reset(qts);
    assert_srat_memory(qts, "m0-1 e2-9");
    qtest_quit(qts);
}

static void add_cases(const NumaMachine *machine, const char *prefix,
                      const EmptyCase *table, int size)
{
    bool has_old_type = machine->old_type &&
                        qtest_has_machine(machine->old_type);

    for (int i = 0; i < size; i++) {
        const EmptyCase *c = &table[i];
        g_autofree char *old = g_strdup_printf("old-type/%s", c->name);

        if (!takes(machine, c)) {
            continue;
        }
        numa_add_case(machine, prefix, c->name, test_case, c);
        if (has_old_type) {
            numa_add_case(machine, prefix, old, test_old_type, c);
        }
    }
}

static void add_tests(const NumaMachine *machine)
{
    const char *prefix = "srat-empty-nodes";

    add_cases(machine, prefix, cases, ARRAY_SIZE(cases));
    if (qtest_has_device("sp-mem")) {
        add_cases(machine, prefix, sp_mem_cases, ARRAY_SIZE(sp_mem_cases));
    }
    numa_add_case(machine, prefix, "while-running", test_while_running, NULL);
    numa_add_case(machine, prefix, "device-unplugged", test_device_unplugged,
                  NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    numa_add_tests(add_tests);
    return g_test_run();
}

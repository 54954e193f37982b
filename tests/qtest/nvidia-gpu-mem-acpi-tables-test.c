/*
 * QTest of the tables that the nvidia-gpu-mem-acpi object builds, wherever its
 * device is, and of the nodes beside its own
 *
 * The tables are read from fw_cfg as firmware would, but no firmware runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "standard-headers/linux/pci_regs.h"
#include "libqtest.h"
#include "acpi-fw-cfg.h"
#include "gpu-mem-tables.h"

#define MAX_GPUS 15

/* Where a case makes sense */
enum {
    ON_EXPRESS = 1,             /* with a PCI Express root bus */
    ON_PCI = 2,                 /* with a conventional one */
    ON_ANY = ON_EXPRESS | ON_PCI,
    ON_VIRT = 4,
    ON_Q35 = 8,
};

static bool takes(const GpuMemMachine *machine, int on)
{
    return (on & (machine->express ? ON_EXPRESS : ON_PCI)) ||
           (on & ON_VIRT && g_str_equal(machine->type, "virt")) ||
           (on & ON_Q35 && g_str_equal(machine->type, "q35"));
}

typedef struct Topology {
    const char *name;
    int on;
    const char *args;
    Gpu gpus[2];
} Topology;

static const Topology topologies[] = {
    {
        "root-bus", ON_ANY,
        GPU_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "4.0", 2, 8 } },
    }, {
        "multifunction", ON_ANY,
        GPU_DEVICE "id=other,addr=4.0,multifunction=on "
        GPU_DEVICE "id=gpu0,addr=4.3 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "4.3", 2, 8 } },
    }, {
        "root-port", ON_EXPRESS,
        "-device pcie-root-port,id=rp0,addr=5,chassis=1 "
        GPU_DEVICE "id=gpu0,bus=rp0 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "5.0/0.0", 2, 8 } },
    }, {
        "root-port-function", ON_EXPRESS,
        "-device pcie-root-port,id=rp0,addr=5.0,chassis=1,multifunction=on "
        "-device pcie-root-port,id=rp2,addr=5.2,chassis=2 "
        GPU_DEVICE "id=gpu0,bus=rp2 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "5.2/0.0", 2, 8 } },
    }, {
        "pxb", ON_EXPRESS,
        "-device pxb-pcie,id=pxb0,bus_nr=128 "
        "-device pcie-root-port,id=rp0,bus=pxb0,addr=1,chassis=1 "
        GPU_DEVICE "id=gpu0,bus=rp0 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PC80", "1.0/0.0", 2, 8 } },
    }, {
        "two-pxbs", ON_EXPRESS,
        "-device pxb-pcie,id=pxb0,bus_nr=128 "
        "-device pxb-pcie,id=pxb1,bus=pcie.0,bus_nr=192 "
        "-device pcie-root-port,id=rp0,bus=pxb0,addr=0,chassis=1 "
        "-device pcie-root-port,id=rp1,bus=pxb1,addr=0,chassis=2 "
        GPU_DEVICE "id=gpu0,bus=rp0 "
        GPU_DEVICE "id=gpu1,bus=rp1 "
        OBJECT "id=mem0,devid=gpu0,nodeset=6-9 "
        OBJECT "id=mem1,devid=gpu1,nodeset=2-5",
        {
            { "\\_SB.PC80", "0.0/0.0", 6, 4 },
            { "\\_SB.PCC0", "0.0/0.0", 2, 4 },
        },
    }, {
        "switch", ON_EXPRESS,
        "-device pcie-root-port,id=rp0,addr=1,chassis=1 "
        "-device x3130-upstream,id=up0,bus=rp0 "
        "-device xio3130-downstream,id=down0,bus=up0,addr=2,chassis=2 "
        GPU_DEVICE "id=gpu0,bus=down0 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "1.0/0.0/2.0/0.0", 2, 8 } },
    }, {
        "two-on-one-switch", ON_EXPRESS,
        "-device pcie-root-port,id=rp0,addr=1,chassis=1 "
        "-device x3130-upstream,id=up0,bus=rp0 "
        "-device xio3130-downstream,id=down0,bus=up0,addr=0,chassis=2 "
        "-device xio3130-downstream,id=down1,bus=up0,addr=1,chassis=3 "
        GPU_DEVICE "id=gpu1,bus=down1 "
        GPU_DEVICE "id=gpu0,bus=down0 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-5 "
        OBJECT "id=mem1,devid=gpu1,nodeset=6-9",
        {
            { "\\_SB.PCI0", "1.0/0.0/0.0/0.0", 2, 4 },
            { "\\_SB.PCI0", "1.0/0.0/1.0/0.0", 6, 4 },
        },
    }, {
        "pcie-pci-bridge", ON_EXPRESS,
        "-device pcie-pci-bridge,id=br0,addr=7 "
        GPU_DEVICE "id=gpu0,bus=br0,addr=1f.7 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "7.0/1f.7", 2, 8 } },
    }, {
        "smmuv3", ON_VIRT,
        "-machine iommu=smmuv3 "
        GPU_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "4.0", 2, 8 } },
    }, {
        "one-node", ON_ANY,
        GPU_DEVICE "id=gpu0,addr=4 "
        GPU_DEVICE "id=gpu1,addr=5 "
        OBJECT "id=mem0,devid=gpu0,nodeset=9 "
        OBJECT "id=mem1,devid=gpu1,nodeset=2",
        { { "\\_SB.PCI0", "4.0", 9, 1 }, { "\\_SB.PCI0", "5.0", 2, 1 } },
    }, {
        "unsorted", ON_ANY,
        GPU_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=6,nodeset=4,nodeset=5",
        { { "\\_SB.PCI0", "4.0", 4, 3 } },
    }, {
        "pci-bridges", ON_PCI,
        "-device pci-bridge,id=br0,addr=5,chassis_nr=1 "
        "-device pci-bridge,id=br1,bus=br0,addr=1,chassis_nr=2 "
        GPU_DEVICE "id=gpu0,bus=br0,addr=3 "
        GPU_DEVICE "id=gpu1,bus=br1,addr=1f.7 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-5 "
        OBJECT "id=mem1,devid=gpu1,nodeset=6-9",
        {
            { "\\_SB.PCI0", "5.0/3.0", 2, 4 },
            { "\\_SB.PCI0", "5.0/1.0/1f.7", 6, 4 },
        },
    }, {
        /* An expander bridge of this kind has a bridge of its own */
        "conventional-pxb", ON_PCI,
        "-device pxb,id=pxb0,bus_nr=128 "
        GPU_DEVICE "id=gpu0,bus=pxb0,addr=3 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PC80", "0.0/3.0", 2, 8 } },
    }, {
        "no-acpi-hotplug-behind-bridges", ON_Q35,
        "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off "
        "-device pcie-root-port,id=rp0,addr=5,chassis=1 "
        GPU_DEVICE "id=gpu0,bus=rp0 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "5.0/0.0", 2, 8 } },
    }, {
        "cxl-pxb", ON_Q35,
        "-machine cxl=on "
        "-device pxb-cxl,id=pxb0,bus=pcie.0,bus_nr=128 "
        "-device cxl-rp,id=rp0,bus=pxb0,addr=0,port=0,chassis=1,slot=1 "
        GPU_DEVICE "id=gpu0,bus=rp0 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.CL80", "0.0/0.0", 2, 8 } },
    }, {
        "pxm", ON_ANY,
        GPU_DEVICE "id=gpu0,addr=4 " GPU_DEVICE "id=gpu1,addr=5 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-5,pxm=1 "
        OBJECT "id=mem1,devid=gpu1,nodeset=6-9,pxm=0",
        {
            { "\\_SB.PCI0", "4.0", 2, 4, true, 1 },
            { "\\_SB.PCI0", "5.0", 6, 4, true, 0 },
        },
    }, {
        "pxm-of-one", ON_EXPRESS,
        "-device pcie-root-port,id=rp0,addr=5,chassis=1 "
        GPU_DEVICE "id=gpu0,bus=rp0 " GPU_DEVICE "id=gpu1,addr=6 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-5,pxm=1 "
        OBJECT "id=mem1,devid=gpu1,nodeset=6-9",
        {
            { "\\_SB.PCI0", "5.0/0.0", 2, 4, true, 1 },
            { "\\_SB.PCI0", "6.0", 6, 4 },
        },
    }, {
        /* The expander bridge says so of all that is below it */
        "pxm-of-pxb", ON_EXPRESS,
        "-device pxb-pcie,id=pxb0,bus_nr=128,numa_node=1 "
        "-device pcie-root-port,id=rp0,bus=pxb0,addr=0,chassis=1 "
        GPU_DEVICE "id=gpu0,bus=rp0 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9,pxm=1",
        { { "\\_SB.PC80", "0.0/0.0", 2, 8, true, 1 } },
    },
};

/* A machine, and what it is to be tested with */
typedef struct Case {
    const GpuMemMachine *machine;
    const void *of;
} Case;

static void test_topology(const void *data)
{
    const Case *c = data;
    const Topology *topology = c->of;
    QTestState *qts = gpu_mem_start(c->machine, EMPTY_ARGS "%s",
                                    topology->args);

    assert_srat(qts, LAST_NODE);
    assert_dsdt(qts, topology->gpus, topology->gpus[1].bridge ? 2 : 1);
    assert_iasl(qts);
    qtest_quit(qts);
}

/* gpu0 comes while the machine runs, perhaps with bridges on the way to it */
typedef struct PlugCase {
    const char *name;
    int on;
    const char *args;
    const char *plugged[2];
    Gpu gpu;
} PlugCase;

#define ROOT_PORT_ARGS                                                  \
    "-device pcie-root-port,id=rp0,addr=1d,chassis=1 "
#define NATIVE_HOTPLUG_ARGS                                             \
    "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off "
#define PCI_BRIDGE_ARGS                                                 \
    "-device pci-bridge,id=br0,addr=1d,chassis_nr=1 "

static const PlugCase plug_cases[] = {
    {
        "root-bus", ON_PCI, "",
        { "{'driver': 'pci-testdev', 'id': 'gpu0', 'addr': '7'}" },
        { "\\_SB.PCI0", "7.0", 2, 8 },
    }, {
        "root-port", ON_EXPRESS, ROOT_PORT_ARGS,
        { "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'rp0'}" },
        { "\\_SB.PCI0", "1d.0/0.0", 2, 8 },
    }, {
        "root-port-native", ON_Q35, NATIVE_HOTPLUG_ARGS ROOT_PORT_ARGS,
        { "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'rp0'}" },
        { "\\_SB.PCI0", "1d.0/0.0", 2, 8 },
    }, {
        "bridge-too", ON_EXPRESS, ROOT_PORT_ARGS,
        {
            "{'driver': 'pcie-pci-bridge', 'id': 'br0', 'bus': 'rp0'}",
            "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'br0', "
            "'addr': '3'}",
        },
        { "\\_SB.PCI0", "1d.0/0.0/3.0", 2, 8 },
    }, {
        /* The DSDT of a PC has no Device for a plugged bridge that isn't 0 */
        "bridge-function", ON_EXPRESS, ROOT_PORT_ARGS,
        {
            "{'driver': 'pcie-pci-bridge', 'id': 'br0', 'bus': 'rp0', "
            "'addr': '0.1', 'multifunction': true}",
            "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'br0', "
            "'addr': '3'}",
        },
        { "\\_SB.PCI0", "1d.0/0.1/3.0", 2, 8 },
    }, {
        "pci-bridge", ON_PCI, PCI_BRIDGE_ARGS,
        {
            "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'br0', "
            "'addr': '3.2'}",
        },
        { "\\_SB.PCI0", "1d.0/3.2", 2, 8 },
    }, {
        "pci-bridge-too", ON_PCI, "",
        {
            "{'driver': 'pci-bridge', 'id': 'br0', 'addr': '7', "
            "'chassis_nr': 1, 'shpc': true}",
            "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'br0', "
            "'addr': '3'}",
        },
        { "\\_SB.PCI0", "7.0/3.0", 2, 8 },
    }, {
        "pci-bridge-function", ON_PCI, PCI_BRIDGE_ARGS,
        {
            "{'driver': 'pci-bridge', 'id': 'br1', 'bus': 'br0', "
            "'addr': '7.1', 'multifunction': true, 'chassis_nr': 2, "
            "'shpc': true}",
            "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'br1', "
            "'addr': '3'}",
        },
        { "\\_SB.PCI0", "1d.0/7.1/3.0", 2, 8 },
    },
};

static void test_plugged(const void *data)
{
    const Case *c = data;
    const PlugCase *pc = c->of;
    QTestState *qts = gpu_mem_start(c->machine, EMPTY_ARGS "%s", pc->args);

    for (int i = 0; i < ARRAY_SIZE(pc->plugged) && pc->plugged[i]; i++) {
        QObject *args = qobject_from_json(pc->plugged[i], &error_abort);

        qtest_qmp_assert_success(qts, "{'execute': 'device_add', "
                                 "'arguments': %p}", args);
    }
    qtest_qmp_assert_success(qts, "{'execute': 'object-add', 'arguments': "
                             "{'qom-type': 'nvidia-gpu-mem-acpi', "
                             "'id': 'mem0', 'devid': 'gpu0', "
                             "'nodeset': [2, 3, 4, 5, 6, 7, 8, 9]}}");
    qtest_system_reset(qts);
    assert_srat(qts, LAST_NODE);
    assert_dsdt(qts, &pc->gpu, 1);
    assert_iasl(qts);
    qtest_quit(qts);
}

/* As many as fit below MAX_NODES with eight nodes each */
static void test_many_gpus(const void *data)
{
    g_autoptr(GString) args = g_string_new("");
    g_auto(GStrv) hops = g_new0(char *, MAX_GPUS + 1);
    Gpu gpus[MAX_GPUS];
    QTestState *qts;

    for (int i = 0; i < MAX_GPUS; i++) {
        int start = CPU_NODES + i * EMPTY_NODES;

        for (int node = start; node < start + EMPTY_NODES; node++) {
            g_string_append_printf(args, "-numa node,nodeid=%d ", node);
        }
        g_string_append_printf(args, GPU_DEVICE "id=gpu%d,addr=0x%x "
                               OBJECT "id=mem%d,devid=gpu%d,nodeset=%d-%d ",
                               i, i + 2, i, i, start, start + EMPTY_NODES - 1);
        hops[i] = g_strdup_printf("%x.0", i + 2);
        gpus[i] = (Gpu) { "\\_SB.PCI0", hops[i], start, EMPTY_NODES };
    }

    qts = gpu_mem_start(data, "%s", args->str);
    assert_srat(qts, CPU_NODES + MAX_GPUS * EMPTY_NODES - 1);
    assert_dsdt(qts, gpus, MAX_GPUS);
    assert_iasl(qts);
    qtest_quit(qts);
}

/*
 * The range for DIMMs belongs to @node, which has no other entry unless it has
 * boot memory, and the first entries of the nodes ascend.
 */
static void assert_hotplug_node(const GpuMemMachine *machine, const char *args,
                                uint32_t node)
{
    QTestState *qts = gpu_mem_start(machine, EMPTY_ARGS
                                    "-m 256M,slots=2,maxmem=2G "
                                    GPU_DEVICE "id=gpu0,addr=4 "
                                    GPU_DEVICE "id=gpu1,addr=5 %s", args);
    g_autoptr(GByteArray) srat = acpi_fw_cfg_read(qts, "SRAT");
    uint32_t next = 0;
    int ranges = 0;

    for (guint at = 48; at < srat->len; at += srat->data[at + 1]) {
        const uint8_t *entry = srat->data + at;

        /* On x86 some are disabled, and node 0 has a second one, for a hole */
        if (entry[0] != 1 || !ldl_le_p(entry + 28) ||
            (next == 1 && ldl_le_p(entry + 2) == 0)) {
            continue;
        }
        if (ldl_le_p(entry + 28) == 3 && ldq_le_p(entry + 16)) {
            g_assert_cmpint(ldl_le_p(entry + 2), ==, node);
            ranges++;
        }
        /* Of a node with boot memory it is a second entry, at the end */
        if (node < CPU_NODES && next > LAST_NODE) {
            continue;
        }
        g_assert_cmpint(ldl_le_p(entry + 2), ==, next);
        next++;
    }
    g_assert_cmpint(next, ==, LAST_NODE + 1);
    g_assert_cmpint(ranges, ==, 1);
    qtest_quit(qts);
}

static void test_hotplug_range(const void *data)
{
    assert_hotplug_node(data, "", 9);
    assert_hotplug_node(data, OBJECT "id=mem0,devid=gpu0,nodeset=4-9", 3);
    assert_hotplug_node(data, OBJECT "id=mem0,devid=gpu0,nodeset=6-9 "
                        OBJECT "id=mem1,devid=gpu1,nodeset=2-5", 1);
}

/* The placeholders are there with and without the object */
static void test_without_object(const void *data)
{
    QTestState *qts = gpu_mem_start(data, EMPTY_ARGS GPU_DEVICE "id=gpu0");

    assert_srat(qts, LAST_NODE);
    assert_initiators(qts, NULL, 0);
    assert_dsdt(qts, NULL, 0);
    qtest_quit(qts);
}

/* Nodes are theirs only as long as the object is there */
static void test_generic_nodes(const void *data)
{
    static const char *const types[] = {
        "{'execute': 'object-add', 'arguments': {'id': 'generic', 'node': 9, "
        "'qom-type': 'acpi-generic-initiator', 'pci-dev': 'gpu0'}}",
        "{'execute': 'object-add', 'arguments': {'id': 'generic', 'node': 9, "
        "'qom-type': 'acpi-generic-port', 'pci-bus': 'none'}}",
    };
    QTestState *qts = gpu_mem_start(data, EMPTY_ARGS
                                    GPU_DEVICE "id=gpu0,addr=4");

    for (int i = 0; i < ARRAY_SIZE(types); i++) {
        QObject *add = qobject_from_json(types[i], &error_abort);

        qtest_qmp_assert_success(qts, "%p", add);
        if (i == 0) {
            qtest_system_reset(qts);
            assert_srat(qts, LAST_NODE - 1);
        }
        qtest_qmp_assert_success(qts, "{'execute': 'object-del', "
                                 "'arguments': {'id': 'generic'}}");
        qtest_system_reset(qts);
        assert_srat(qts, LAST_NODE);
    }
    qtest_quit(qts);
}

/* The object may name the node of a generic initiator */
static void test_initiator_node_named(const void *data)
{
    static const Gpu gpu = { "\\_SB.PCI0", "4.0", 2, 8 };
    QTestState *qts = gpu_mem_start(data, EMPTY_ARGS
        GPU_DEVICE "id=gpu0,addr=4 "
        "-object acpi-generic-initiator,id=gi0,pci-dev=gpu0,node=5 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9");

    assert_srat(qts, LAST_NODE);
    assert_dsdt(qts, &gpu, 1);
    qtest_quit(qts);
}

/* A number that a guest's firmware gives to the bus behind a bridge */
typedef struct Bridge {
    uint8_t bus;
    uint8_t devfn;
    uint8_t secondary;
    uint8_t subordinate;
} Bridge;

typedef struct InitiatorCase {
    const char *name;
    int on;
    const char *args;
    Bridge bridges[4];
    Initiators initiators[2];
} InitiatorCase;

#define TWO_PORTS_ARGS                                                  \
    "-device pcie-root-port,id=rp0,addr=5,chassis=1 "                   \
    "-device pcie-root-port,id=rp1,addr=6,chassis=2 "                   \
    GPU_DEVICE "id=gpu0,bus=rp0 " GPU_DEVICE "id=gpu1,bus=rp1 "

#define TWO_PORTS_BRIDGES { { 0, 0x28, 7, 7 }, { 0, 0x30, 9, 9 } }

static const InitiatorCase initiator_cases[] = {
    {
        "off", ON_EXPRESS, TWO_PORTS_ARGS
        OBJECT "id=mem0,devid=gpu0,nodeset=2-5 "
        OBJECT "id=mem1,devid=gpu1,nodeset=6-9,generic-initiator=off",
        TWO_PORTS_BRIDGES,
    }, {
        "root-bus", ON_ANY,
        GPU_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9,generic-initiator=on",
        { }, { { 2, 8, 0, 0x20 } },
    }, {
        "auto-root-bus", ON_ANY,
        GPU_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9,generic-initiator=auto",
    }, {
        "auto-root-port", ON_EXPRESS, TWO_PORTS_ARGS
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9,generic-initiator=auto",
        TWO_PORTS_BRIDGES, { { 2, 8, 7, 0 } },
    }, {
        "auto-function", ON_EXPRESS,
        "-device pcie-root-port,id=rp0,addr=5,chassis=1 "
        GPU_DEVICE "id=gpu1,bus=rp0,addr=0.0,multifunction=on "
        GPU_DEVICE "id=gpu0,bus=rp0,addr=0.2 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9,generic-initiator=auto",
        { { 0, 0x28, 7, 7 } },
    }, {
        "function", ON_EXPRESS,
        "-device pcie-root-port,id=rp0,addr=5,chassis=1 "
        GPU_DEVICE "id=gpu1,bus=rp0,addr=0.0,multifunction=on "
        GPU_DEVICE "id=gpu0,bus=rp0,addr=0.2 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9,generic-initiator=on",
        { { 0, 0x28, 7, 7 } }, { { 2, 8, 7, 2 } },
    }, {
        /* By node, whatever their order */
        "two-objects", ON_EXPRESS, TWO_PORTS_ARGS
        OBJECT "id=mem0,devid=gpu0,nodeset=6-9,generic-initiator=auto "
        OBJECT "id=mem1,devid=gpu1,nodeset=2-5,generic-initiator=on",
        TWO_PORTS_BRIDGES, { { 2, 4, 9, 0 }, { 6, 4, 7, 0 } },
    }, {
        "one-of-two-objects", ON_EXPRESS, TWO_PORTS_ARGS
        OBJECT "id=mem0,devid=gpu0,nodeset=2-3 "
        OBJECT "id=mem1,devid=gpu1,nodeset=5,generic-initiator=on",
        TWO_PORTS_BRIDGES, { { 5, 1, 9, 0 } },
    }, {
        "unnumbered", ON_EXPRESS, TWO_PORTS_ARGS
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9,generic-initiator=on",
        { }, { { 2, 8, 0, 0 } },
    }, {
        "switch", ON_EXPRESS,
        "-device pcie-root-port,id=rp0,addr=5,chassis=1 "
        "-device x3130-upstream,id=up0,bus=rp0 "
        "-device xio3130-downstream,id=down0,bus=up0,addr=0,chassis=2 "
        "-device xio3130-downstream,id=down1,bus=up0,addr=1,chassis=3 "
        GPU_DEVICE "id=gpu0,bus=down0 " GPU_DEVICE "id=gpu1,bus=down1 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-5,generic-initiator=auto "
        OBJECT "id=mem1,devid=gpu1,nodeset=6-9,generic-initiator=auto",
        { { 0, 0x28, 3, 12 }, { 3, 0, 4, 12 }, { 4, 0, 10, 10 },
          { 4, 8, 12, 12 } },
        { { 2, 4, 10, 0 }, { 6, 4, 12, 0 } },
    }, {
        "pxbs", ON_EXPRESS,
        "-device pxb-pcie,id=pxb0,bus=pcie.0,bus_nr=128 "
        "-device pxb-pcie,id=pxb1,bus=pcie.0,bus_nr=192 "
        "-device pcie-root-port,id=rp0,bus=pxb0,addr=0,chassis=1 "
        "-device pcie-root-port,id=rp1,bus=pxb1,addr=2,chassis=2 "
        GPU_DEVICE "id=gpu0,bus=rp0 " GPU_DEVICE "id=gpu1,bus=rp1 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-5,generic-initiator=on "
        OBJECT "id=mem1,devid=gpu1,nodeset=6-9,generic-initiator=auto",
        { { 128, 0, 129, 129 }, { 192, 0x10, 200, 200 } },
        { { 2, 4, 129, 0 }, { 6, 4, 200, 0 } },
    }, {
        /* There is no slot 0 behind it */
        "pci-bridge", ON_ANY,
        "-device pci-bridge,id=br0,addr=5,chassis_nr=1 "
        GPU_DEVICE "id=gpu0,bus=br0,addr=1 "
        GPU_DEVICE "id=gpu1,bus=br0,addr=2 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-5,generic-initiator=on "
        OBJECT "id=mem1,devid=gpu1,nodeset=6-9,generic-initiator=auto",
        { { 0, 0x28, 3, 3 } }, { { 2, 4, 3, 8 } },
    },
};

static void number_buses(QTestState *qts, const Bridge *bridges)
{
    for (int i = 0; bridges[i].secondary; i++) {
        const Bridge *br = &bridges[i];

        pci_config_writeb(qts, br->bus, br->devfn, PCI_PRIMARY_BUS, br->bus);
        pci_config_writeb(qts, br->bus, br->devfn, PCI_SECONDARY_BUS,
                          br->secondary);
        pci_config_writeb(qts, br->bus, br->devfn, PCI_SUBORDINATE_BUS,
                          br->subordinate);
    }
}

static int num_initiators(const InitiatorCase *c)
{
    return !!c->initiators[0].count + !!c->initiators[1].count;
}

static void test_initiators(const void *data)
{
    const Case *c = data;
    const InitiatorCase *ic = c->of;
    QTestState *qts = gpu_mem_start(c->machine, EMPTY_ARGS "%s", ic->args);

    /* A reset takes the numbers, and has the tables built anew with new ones */
    for (int i = 0; i < 2; i++) {
        number_buses(qts, ic->bridges);
        assert_initiators(qts, ic->initiators, num_initiators(ic));
        assert_srat(qts, LAST_NODE);
        qtest_system_reset(qts);
    }
    qtest_quit(qts);
}

#define LATENCY_ARG(initiator, target, ns)                              \
    "-numa hmat-lb,initiator=" #initiator ",target=" #target ","        \
    "hierarchy=memory,data-type=access-latency,latency=" #ns " "

static GByteArray *read_hmat(const GpuMemMachine *machine, const char *args)
{
    QTestState *qts = gpu_mem_start(machine, EMPTY_ARGS "-machine hmat=on "
        LATENCY_ARG(0, 0, 10) LATENCY_ARG(0, 5, 100)
        GPU_DEVICE "id=gpu0,addr=4 %s", args);
    GByteArray *hmat = acpi_fw_cfg_read(qts, "HMAT");

    g_assert_nonnull(hmat);
    qtest_quit(qts);
    return hmat;
}

static void assert_same_hmat(const GpuMemMachine *machine, const char *args,
                             const char *other_args)
{
    g_autoptr(GByteArray) hmat = read_hmat(machine, args);
    g_autoptr(GByteArray) other_hmat = read_hmat(machine, other_args);

    g_assert_cmpmem(hmat->data, hmat->len, other_hmat->data, other_hmat->len);
}

#define GENERIC_INITIATORS_ARGS                                         \
    "-object acpi-generic-initiator,id=gi3,pci-dev=gpu0,node=3 "        \
    "-object acpi-generic-initiator,id=gi4,pci-dev=gpu0,node=4 "        \
    "-object acpi-generic-initiator,id=gi5,pci-dev=gpu0,node=5 "

/* In the HMAT they are what acpi-generic-initiator makes of the nodes */
static void test_hmat(const void *machine)
{
    assert_same_hmat(machine,
        OBJECT "id=mem0,devid=gpu0,nodeset=3-5,generic-initiator=on "
        LATENCY_ARG(4, 1, 60),
        GENERIC_INITIATORS_ARGS LATENCY_ARG(4, 1, 60));
    assert_same_hmat(machine,
        OBJECT "id=mem0,devid=gpu0,nodeset=3-5,generic-initiator=auto", "");
}

/* With auto it is so where the device is function 0 in slot 0 */
static void test_hmat_auto(const void *machine)
{
    assert_same_hmat(machine,
        "-device pcie-root-port,id=rp0,addr=5,chassis=1 "
        GPU_DEVICE "id=gpu1,bus=rp0 "
        OBJECT "id=mem0,devid=gpu1,nodeset=3-5,generic-initiator=auto",
        GENERIC_INITIATORS_ARGS);
}

#ifdef CONFIG_TRACE_LOG
/* Each entry and each _DSD that is built leaves a line in the log */
static void test_trace(const void *data)
{
    g_autofree char *dir = g_dir_make_tmp("gpu-mem-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(dir, "trace.log", NULL);
    g_autofree char *log = NULL;
    QTestState *qts = gpu_mem_start(data, EMPTY_ARGS
        GPU_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=3-8,generic-initiator=on "
        "-trace nvidia_gpu_mem_acpi_* -trace acpi_srat_empty_node -D %s",
        file);

    qtest_quit(qts);
    g_assert_true(g_file_get_contents(file, &log, NULL, NULL));
    g_assert_nonnull(strstr(log, "nvidia_gpu_mem_acpi_srat "
                            "object 'mem0': nodes 3-8\n"));
    g_assert_nonnull(strstr(log, "nvidia_gpu_mem_acpi_dsd object 'mem0': "
                            "device 'gpu0': pxm start 3 count 6\n"));
    g_assert_nonnull(strstr(log, "nvidia_gpu_mem_acpi_initiators "
                            "object 'mem0': bus 0x00 devfn 0x20\n"));
    for (int node = CPU_NODES; node <= LAST_NODE; node++) {
        g_autofree char *line = g_strdup_printf(
            "acpi_srat_empty_node node %d: base 0x0 length 0x0\n", node);

        g_assert_nonnull(strstr(log, line));
    }
    g_assert_null(strstr(log, "acpi_srat_empty_node node 1:"));
    unlink(file);
    rmdir(dir);
}
#endif

static void add_test(const GpuMemMachine *machine, const char *name,
                     GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("/nvidia-gpu-mem-acpi/%s/%s",
                                            machine->type, name);

    qtest_add_data_func(path, machine, func);
}

/* A case of a kind, where the machine takes it */
static void add_case(const GpuMemMachine *machine, int on, const char *kind,
                     const char *name, const void *of, GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("/nvidia-gpu-mem-acpi/%s/%s/%s",
                                            machine->type, kind, name);
    Case *c;

    if (takes(machine, on)) {
        c = g_new(Case, 1);
        *c = (Case) { machine, of };
        qtest_add_data_func_full(path, c, func, g_free);
    }
}

static void add_tests(const GpuMemMachine *machine)
{
    for (int i = 0; i < ARRAY_SIZE(topologies); i++) {
        add_case(machine, topologies[i].on, "topology", topologies[i].name,
                 &topologies[i], test_topology);
    }
    for (int i = 0; i < ARRAY_SIZE(initiator_cases); i++) {
        add_case(machine, initiator_cases[i].on, "initiators",
                 initiator_cases[i].name, &initiator_cases[i],
                 test_initiators);
    }
    for (int i = 0; i < ARRAY_SIZE(plug_cases); i++) {
        add_case(machine, plug_cases[i].on, "plugged", plug_cases[i].name,
                 &plug_cases[i], test_plugged);
    }
    add_test(machine, "topology/many-gpus", test_many_gpus);
    add_test(machine, "nodes/without-object", test_without_object);
    add_test(machine, "nodes/generic", test_generic_nodes);
    add_test(machine, "nodes/initiator-named", test_initiator_node_named);
    add_test(machine, "nodes/hotplug-range", test_hotplug_range);
    add_test(machine, "initiators/hmat", test_hmat);
    if (machine->express) {
        add_test(machine, "initiators/hmat-auto", test_hmat_auto);
    }
#ifdef CONFIG_TRACE_LOG
    add_test(machine, "trace", test_trace);
#endif
}

int main(int argc, char **argv)
{
    const GpuMemMachine *machine = NULL;

    g_test_init(&argc, &argv, NULL);
    while ((machine = gpu_mem_next_machine(machine))) {
        add_tests(machine);
    }
    return g_test_run();
}

/*
 * QTest of the tables that the dev-mem-pxm-acpi and nvidia-gpu-mem-acpi objects
 * make, wherever their devices are, and of the nodes beside their own
 *
 * The tables are read from fw_cfg as firmware would, but no firmware runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "standard-headers/linux/pci_regs.h"
#include "acpi-numa.h"
#include "dev-mem-pxm-dsdt.h"

#define PREFIX "dev-mem-pxm"
#define OBJECT "-object nvidia-gpu-mem-acpi,"
#define GENERAL_OBJECT "-object dev-mem-pxm-acpi,"

#define MAX_GPUS 15
#define GPU_NODES 8

/* Where a case makes sense */
enum {
    ON_EXPRESS = 1,             /* with a PCI Express root bus */
    ON_PCI = 2,                 /* with a conventional one */
    ON_ANY = ON_EXPRESS | ON_PCI,
    ON_VIRT = 4,
    ON_Q35 = 8,
    ON_CXL = 16,                /* with host bridges of CXL, in addition */
};

static bool takes(const NumaMachine *machine, int on)
{
    return ((on & (machine->express ? ON_EXPRESS : ON_PCI)) ||
            (on & ON_VIRT && g_str_equal(machine->type, "virt")) ||
            (on & ON_Q35 && g_str_equal(machine->type, "q35"))) &&
           (!(on & ON_CXL) || numa_has_cxl(machine));
}

/* A number that a guest's firmware gives to the bus behind a bridge */
typedef struct Bridge {
    uint8_t bus;
    uint8_t devfn;
    uint8_t secondary;
    uint8_t subordinate;
} Bridge;

/*
 * A machine with empty nodes, and what its tables say: all empty nodes have an
 * entry in the SRAT where @memory is not another list.
 */
typedef struct Topology {
    const char *name;
    int on;
    const char *args;
    const char *dsdt;
    const char *generic;
    Bridge bridges[4];
    const char *memory;
} Topology;

#define TWO_PORTS                                                       \
    "-device pcie-root-port,id=rp0,addr=5,chassis=1 "                   \
    "-device pcie-root-port,id=rp1,addr=6,chassis=2 "                   \
    PCI_DEVICE "id=gpu0,bus=rp0 " PCI_DEVICE "id=gpu1,bus=rp1 "
#define TWO_PORTS_BRIDGES { { 0, 0x28, 7, 7 }, { 0, 0x30, 9, 9 } }

#define TWO_PXBS                                                        \
    "-device pxb-pcie,id=pxb0,bus=pcie.0,bus_nr=128 "                   \
    "-device pxb-pcie,id=pxb1,bus=pcie.0,bus_nr=192 "                   \
    "-device pcie-root-port,id=rp0,bus=pxb0,addr=0,chassis=1 "          \
    "-device pcie-root-port,id=rp1,bus=pxb1,addr=2,chassis=2 "          \
    PCI_DEVICE "id=gpu0,bus=rp0 " PCI_DEVICE "id=gpu1,bus=rp1 "

#define CXL_PORT                                                        \
    "-machine cxl=on -device pxb-cxl,id=pxb0,bus=pcie.0,bus_nr=128 "    \
    "-device cxl-rp,id=rp0,bus=pxb0,addr=0,port=0,chassis=1,slot=1 "
#define CXL_MEMORY                                                      \
    "-object memory-backend-ram,id=cxl0,size=256M,reserve=off "         \
    "-device cxl-type3,id=gpu0,bus=rp0,volatile-memdev=cxl0 "

#define SWITCH                                                          \
    "-device pcie-root-port,id=rp0,addr=5,chassis=1 "                   \
    "-device x3130-upstream,id=up0,bus=rp0 "                            \
    "-device xio3130-downstream,id=down0,bus=up0,addr=0,chassis=2 "     \
    "-device xio3130-downstream,id=down1,bus=up0,addr=1,chassis=3 "     \
    PCI_DEVICE "id=gpu1,bus=down1 " PCI_DEVICE "id=gpu0,bus=down0 "

static const Topology topologies[] = {
    {
        "no-object", ON_ANY, PCI_DEVICE "id=gpu0,addr=4 ", "", "",
    }, {
        "root-bus", ON_ANY,
        PCI_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9,generic-initiator=on",
        "PCI0.S20:2+8", "gi2-9@00:20",
    }, {
        "initiator-off", ON_ANY,
        PCI_DEVICE "id=gpu0,addr=4 " PCI_DEVICE "id=gpu1,addr=5 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-5 "
        OBJECT "id=mem1,devid=gpu1,nodeset=6-9,generic-initiator=off",
        "PCI0.S20:2+4 PCI0.S28:6+4", "",
    }, {
        "general", ON_ANY,
        PCI_DEVICE "id=gpu0,addr=4 " PCI_DEVICE "id=gpu1,addr=5 "
        GENERAL_OBJECT "id=mem0,devid=gpu0,nodeset=6-9,generic-initiator=on "
        OBJECT "id=mem1,devid=gpu1,nodeset=2-5",
        "PCI0.S20:6+4/general PCI0.S28:2+4", "gi6-9@00:20",
    }, {
        "multifunction", ON_ANY,
        PCI_DEVICE "id=other,addr=4.0,multifunction=on "
        PCI_DEVICE "id=gpu0,addr=4.3 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9,generic-initiator=on",
        "PCI0.S23:2+8", "gi2-9@00:23",
    }, {
        "one-node", ON_ANY,
        PCI_DEVICE "id=gpu0,addr=4 " PCI_DEVICE "id=gpu1,addr=5 "
        OBJECT "id=mem0,devid=gpu0,nodeset=9 "
        OBJECT "id=mem1,devid=gpu1,nodeset=2,generic-initiator=on",
        "PCI0.S20:9+1 PCI0.S28:2+1", "gi2@00:28",
    }, {
        "unsorted", ON_ANY,
        PCI_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=6,nodeset=4,nodeset=5",
        "PCI0.S20:4+3", "",
    }, {
        /* An initiator of its own for node 5, which stays empty */
        "beside-initiator", ON_ANY,
        PCI_DEVICE "id=gpu0,addr=4 " PCI_DEVICE "id=gpu1,addr=5 "
        INITIATOR "id=gi0,pci-dev=gpu1,node=5 "
        INITIATOR "id=gi1,pci-dev=gpu1,node=8 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-7",
        "PCI0.S20:2+6", "gi5@00:28 gi8@00:28", { }, "m0-1 e2-7 e9",
    }, {
        "with-initiators", ON_ANY,
        PCI_DEVICE "id=gpu0,addr=4 " PCI_DEVICE "id=gpu1,addr=5 "
        INITIATOR "id=gi0,pci-dev=gpu1,node=9 "
        INITIATOR "id=gi1,pci-dev=gpu1,node=2 "
        OBJECT "id=mem0,devid=gpu0,nodeset=3-5,generic-initiator=on",
        "PCI0.S20:3+3", "gi2@00:28 gi3-5@00:20 gi9@00:28", { },
        "m0-1 e3-8",
    }, {
        /* By node, whatever their order */
        "root-ports", ON_EXPRESS, TWO_PORTS
        OBJECT "id=mem0,devid=gpu0,nodeset=6-9,generic-initiator=on "
        OBJECT "id=mem1,devid=gpu1,nodeset=2-5,generic-initiator=on",
        "PCI0.S28.S00:6+4 PCI0.S30.S00:2+4", "gi2-5@09:00 gi6-9@07:00",
        TWO_PORTS_BRIDGES,
    }, {
        "unnumbered", ON_EXPRESS, TWO_PORTS
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9,generic-initiator=on",
        "PCI0.S28.S00:2+8", "gi2-9@00:00",
    }, {
        "functions", ON_EXPRESS,
        "-device pcie-root-port,id=rp0,addr=5.0,chassis=1,multifunction=on "
        "-device pcie-root-port,id=rp2,addr=5.2,chassis=2 "
        PCI_DEVICE "id=gpu1,bus=rp2,addr=0.0,multifunction=on "
        PCI_DEVICE "id=gpu0,bus=rp2,addr=0.2 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9,generic-initiator=on",
        "PCI0.S2A.S02:2+8", "gi2-9@07:02", { { 0, 0x2a, 7, 7 } },
    }, {
        "switch", ON_EXPRESS, SWITCH
        OBJECT "id=mem0,devid=gpu0,nodeset=2-5,generic-initiator=on "
        OBJECT "id=mem1,devid=gpu1,nodeset=6-9,generic-initiator=on",
        "PCI0.S28.S00.S00.S00:2+4 PCI0.S28.S00.S08.S00:6+4",
        "gi2-5@0a:00 gi6-9@0c:00",
        { { 0, 0x28, 3, 12 }, { 3, 0, 4, 12 }, { 4, 0, 10, 10 },
          { 4, 8, 12, 12 } },
    }, {
        "pxbs", ON_EXPRESS, TWO_PXBS
        OBJECT "id=mem0,devid=gpu0,nodeset=6-9,generic-initiator=on "
        OBJECT "id=mem1,devid=gpu1,nodeset=2-5,generic-initiator=on",
        "PC80.S00.S00:6+4 PCC0.S10.S00:2+4", "gi2-5@c8:00 gi6-9@81:00",
        { { 128, 0, 129, 129 }, { 192, 0x10, 200, 200 } },
    }, {
        /*
         * Below two host bridges, but with one bus number and slot.  On arm
         * virt QEMU's own interrupt links are declared twice there.
         */
        "pxb-of-bus-0", ON_Q35,
        "-device edu,id=gpu0,bus=pcie.0,addr=5 "
        "-device pxb-pcie,id=pxb0,bus=pcie.0,addr=8 "
        "-device pcie-root-port,id=rp0,bus=pxb0,addr=5,chassis=1 "
        "-device pcie-pci-bridge,id=br0,bus=rp0 "
        "-device edu,id=gpu1,bus=br0,addr=1 -device edu,id=gpu2,bus=br0,addr=2 "
        OBJECT "id=mem0,devid=gpu1,nodeset=2-4 "
        OBJECT "id=mem1,devid=gpu0,nodeset=5-6 "
        OBJECT "id=mem2,devid=gpu2,nodeset=7-9",
        "PC00.S28.S00.S08:2+3 PC00.S28.S00.S10:7+3 PCI0.S28:5+2", "",
    }, {
        "pcie-pci-bridge", ON_EXPRESS,
        "-device pcie-pci-bridge,id=br0,addr=7 "
        PCI_DEVICE "id=gpu0,bus=br0,addr=1f.7 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        "PCI0.S38.SFF:2+8", "",
    }, {
        "pci-bridges", ON_PCI,
        "-device pci-bridge,id=br0,addr=5,chassis_nr=1 "
        "-device pci-bridge,id=br1,bus=br0,addr=1,chassis_nr=2 "
        PCI_DEVICE "id=gpu0,bus=br0,addr=3 "
        PCI_DEVICE "id=gpu1,bus=br1,addr=1f.7 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-5,generic-initiator=on "
        OBJECT "id=mem1,devid=gpu1,nodeset=6-9",
        "PCI0.S28.S08.SFF:6+4 PCI0.S28.S18:2+4", "gi2-5@03:18",
        { { 0, 0x28, 3, 4 }, { 3, 8, 4, 4 } },
    }, {
        /* An expander bridge of this kind has a bridge of its own */
        "conventional-pxb", ON_PCI,
        "-device pxb,id=pxb0,bus_nr=128 "
        PCI_DEVICE "id=gpu0,bus=pxb0,addr=3 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        "PC80.S00.S18:2+8", "",
    }, {
        "no-acpi-hotplug-behind-bridges", ON_Q35,
        "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off "
        "-device pcie-root-port,id=rp0,addr=5,chassis=1 "
        PCI_DEVICE "id=gpu0,bus=rp0 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        "PCI0.S28.S00:2+8", "",
    }, {
        "cxl-pxb", ON_Q35 | ON_CXL, CXL_PORT PCI_DEVICE "id=gpu0,bus=rp0 "
        "-object acpi-generic-port,id=gp0,pci-bus=pxb0,node=7 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-6,generic-initiator=on",
        "CL80.S00.S00:2+5", "gi2-6@81:00 gp7@80", { { 128, 0, 129, 129 } },
        "m0-1 e2-6 e8-9",
    }, {
        "cxl-pxb", ON_VIRT | ON_CXL, CXL_PORT PCI_DEVICE "id=gpu0,bus=rp0 "
        "-object acpi-generic-port,id=gp0,pci-bus=pxb0,node=7 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-6,generic-initiator=on",
        "PC80.S00.S00:2+5", "gi2-6@81:00 gp7@80", { { 128, 0, 129, 129 } },
        "m0-1 e2-6 e8-9",
    }, {
        "cxl-type3", ON_Q35 | ON_CXL, CXL_PORT CXL_MEMORY
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        "CL80.S00.S00:2+8", "",
    }, {
        "cxl-type3", ON_VIRT | ON_CXL, CXL_PORT CXL_MEMORY
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        "PC80.S00.S00:2+8", "",
    }, {
        "egm", ON_VIRT, TWO_PXBS PCI_DEVICE "id=gpu2,bus=pcie.0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-4,egm-node=1 "
        OBJECT "id=mem1,devid=gpu1,nodeset=5-7,egm-node=0 "
        OBJECT "id=mem2,devid=gpu2,nodeset=8-9,egm-node=1 ",
        "PC80.S00.S00:2+3/egm1@48000000+8000000 "
        "PCC0.S10.S00:5+3/egm0@40000000+8000000 "
        "PCI0.S20:8+2/egm1@48000000+8000000", "",
    }, {
        /* Above 4 GiB, and behind empty nodes */
        "egm-large", ON_VIRT,
        "-m 20736M "
        "-object memory-backend-ram,id=ram10,size=4G,reserve=off "
        "-object memory-backend-ram,id=ram11,size=16G,reserve=off "
        "-numa node,nodeid=10,memdev=ram10 -numa node,nodeid=11,memdev=ram11 "
        PCI_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9,egm-node=11",
        "PCI0.S20:2+8/egm11@150000000+400000000", "",
        .memory = "m0-1 e2-9 m10-11",
    }, {
        "smmuv3", ON_VIRT,
        "-machine iommu=smmuv3 "
        PCI_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        "PCI0.S20:2+8", "",
    },
};

static void number_buses(QTestState *qts, const Bridge *bridges)
{
    NumaPciBus storage;
    QPCIBus *bus = numa_pci_bus(&storage, qts);

    for (int i = 0; i < ARRAY_SIZE(((Topology *)0)->bridges); i++) {
        const Bridge *br = &bridges[i];

        if (br->secondary) {
            int bdf = br->bus << 8 | br->devfn;

            bus->config_writeb(bus, bdf, PCI_PRIMARY_BUS, br->bus);
            bus->config_writeb(bus, bdf, PCI_SECONDARY_BUS, br->secondary);
            bus->config_writeb(bus, bdf, PCI_SUBORDINATE_BUS, br->subordinate);
        }
    }
}

static void test_topology(const void *data)
{
    const NumaCase *c = data;
    const Topology *topology = c->row;
    QTestState *qts = numa_start(c->machine, EMPTY_ARGS "%s", topology->args);

    /* A reset takes the numbers, and has the tables built anew with new ones */
    for (int i = 0; i < 2; i++) {
        number_buses(qts, topology->bridges);
        assert_srat_generic(qts, topology->generic);
        assert_srat_memory(qts, topology->memory ?: "m0-1 e2-9");
        assert_dsdt(qts, topology->dsdt);
        qtest_system_reset(qts);
    }
    assert_iasl(qts);
    qtest_quit(qts);
}

/* gpu0 comes while the machine runs, perhaps with bridges on the way to it */
typedef struct PlugCase {
    const char *name;
    int on;
    const char *args;
    const char *plugged[2];
    const char *dsdt;
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
        "PCI0.S38:2+8",
    }, {
        "root-port", ON_EXPRESS, ROOT_PORT_ARGS,
        { "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'rp0'}" },
        "PCI0.SE8.S00:2+8",
    }, {
        "root-port-native", ON_Q35, NATIVE_HOTPLUG_ARGS ROOT_PORT_ARGS,
        { "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'rp0'}" },
        "PCI0.SE8.S00:2+8",
    }, {
        "bridge-too", ON_EXPRESS, ROOT_PORT_ARGS,
        {
            "{'driver': 'pcie-pci-bridge', 'id': 'br0', 'bus': 'rp0'}",
            "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'br0', "
            "'addr': '3'}",
        },
        "PCI0.SE8.S00.S18:2+8",
    }, {
        /* The DSDT of a PC has no Device for a plugged bridge that isn't 0 */
        "bridge-function", ON_EXPRESS, ROOT_PORT_ARGS,
        {
            "{'driver': 'pcie-pci-bridge', 'id': 'br0', 'bus': 'rp0', "
            "'addr': '0.1', 'multifunction': true}",
            "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'br0', "
            "'addr': '3'}",
        },
        "PCI0.SE8.S01.S18:2+8",
    }, {
        "pci-bridge", ON_PCI, PCI_BRIDGE_ARGS,
        {
            "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'br0', "
            "'addr': '3.2'}",
        },
        "PCI0.SE8.S1A:2+8",
    }, {
        "pci-bridge-too", ON_PCI, "",
        {
            "{'driver': 'pci-bridge', 'id': 'br0', 'addr': '7', "
            "'chassis_nr': 1, 'shpc': true}",
            "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'br0', "
            "'addr': '3'}",
        },
        "PCI0.S38.S18:2+8",
    }, {
        "pci-bridge-function", ON_PCI, PCI_BRIDGE_ARGS,
        {
            "{'driver': 'pci-bridge', 'id': 'br1', 'bus': 'br0', "
            "'addr': '7.1', 'multifunction': true, 'chassis_nr': 2, "
            "'shpc': true}",
            "{'driver': 'pci-testdev', 'id': 'gpu0', 'bus': 'br1', "
            "'addr': '3'}",
        },
        "PCI0.SE8.S39.S18:2+8",
    },
};

static void test_plugged(const void *data)
{
    const NumaCase *c = data;
    const PlugCase *pc = c->row;
    QTestState *qts = numa_start(c->machine, EMPTY_ARGS "%s", pc->args);

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
    assert_srat_memory(qts, "m0-1 e2-9");
    assert_dsdt(qts, pc->dsdt);
    assert_iasl(qts);
    qtest_quit(qts);
}

/* As many as fit below MAX_NODES with eight nodes each */
static void test_many_gpus(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    g_autoptr(GString) args = g_string_new("");
    g_autoptr(GString) dsdt = g_string_new("");
    QTestState *qts;

    for (int i = 0; i < MAX_GPUS; i++) {
        int start = CPU_NODES + i * GPU_NODES;

        for (int node = start; node < start + GPU_NODES; node++) {
            g_string_append_printf(args, "-numa node,nodeid=%d ", node);
        }
        g_string_append_printf(args, PCI_DEVICE "id=gpu%d,addr=0x%x "
                               OBJECT "id=mem%d,devid=gpu%d,nodeset=%d-%d ",
                               i, i + 2, i, i, start, start + GPU_NODES - 1);
        g_string_append_printf(dsdt, "%sPCI0.S%02X:%d+%d", i ? " " : "",
                               (i + 2) << 3, start, GPU_NODES);
    }

    qts = numa_start(machine, "%s", args->str);
    assert_srat_memory(qts, "m0-1 e2-121");
    assert_dsdt(qts, dsdt->str);
    assert_iasl(qts);
    qtest_quit(qts);
}

/* Where the range for DIMMs is: never in the node of an object */
typedef struct RangeCase {
    const char *name;
    const char *args;
    const char *memory;
    const char *on_old_type;
} RangeCase;

#define GPUS PCI_DEVICE "id=gpu0,addr=4 " PCI_DEVICE "id=gpu1,addr=5 "

static const RangeCase range_cases[] = {
    {
        "last-node-free", EMPTY_ARGS GPUS
        OBJECT "id=mem0,devid=gpu0,nodeset=3-5",
        "m0-1 e2-8 h9", "m0-1 e3-5 h9",
    }, {
        "node-before-free", EMPTY_ARGS GPUS
        OBJECT "id=mem0,devid=gpu0,nodeset=4-9",
        "m0-1 e2 h3 e4-9", "m0-1 e4-9 h3",
    }, {
        "no-empty-node-free", EMPTY_ARGS GPUS
        OBJECT "id=mem0,devid=gpu0,nodeset=6-9 "
        OBJECT "id=mem1,devid=gpu1,nodeset=2-5",
        "m0-1 e2-9 h1", "m0-1 e2-9 h1",
    }, {
        "initiator-before", EMPTY_ARGS GPUS
        INITIATOR "id=gi0,pci-dev=gpu1,node=5 "
        OBJECT "id=mem0,devid=gpu0,nodeset=6-9",
        "m0-1 e2-4 e6-9 h5", "m0-1 e6-9 h5",
    },
};

/* Beside an sp-mem the range is in pieces at the end */
static const RangeCase sp_mem_case = {
    "sp-mem", EMPTY_ARGS GPUS
    "-object memory-backend-ram,id=spm0,size=128M "
    "-device sp-mem,id=sp0,memdev=spm0,node=2 "
    OBJECT "id=mem0,devid=gpu0,nodeset=4-9",
    "m0-1 e3-9 m2 h3", "m0-1 e4-9 m2 h3",
};

static void test_range(const void *data)
{
    const NumaCase *c = data;
    const RangeCase *range = c->row;
    NumaMachine old = *c->machine;
    QTestState *qts = numa_start(c->machine, "-m slots=2,maxmem=2G %s",
                                 range->args);

    assert_srat_memory(qts, range->memory);
    qtest_quit(qts);

    old.type = old.old_type;
    if (qtest_has_machine(old.type)) {
        qts = numa_start(&old, "-m slots=2,maxmem=2G %s", range->args);
        assert_srat_memory(qts, range->on_old_type);
        qtest_quit(qts);
    }
}

/* The only node without an object is that of the CPU, and an initiator's */
static void test_range_beside_initiator(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    QTestState *qts = qtest_initf("-machine %s %s -accel qtest -display none "
        "-nodefaults -m 1G,slots=1,maxmem=2G -smp 1 "
        "-object memory-backend-ram,id=ram1,size=1G -numa node,nodeid=0 "
        "-numa node,nodeid=1,memdev=ram1,cpus=0 -numa node,nodeid=2 " GPUS
        INITIATOR "id=gi0,pci-dev=gpu1,node=1 "
        OBJECT "id=mem0,devid=gpu0,nodeset=0 "
        OBJECT "id=mem1,devid=gpu1,nodeset=2", machine->type, machine->args);

    assert_srat_memory(qts, "e0 m1 e2 h1");
    assert_srat_generic(qts, "gi1@00:28");
    qtest_quit(qts);
}

static void test_old_type(const void *data)
{
    NumaMachine machine = *((const NumaCase *)data)->machine;
    QTestState *qts;

    machine.type = machine.old_type;
    qts = numa_start(&machine, EMPTY_ARGS GPUS
                     OBJECT "id=mem0,devid=gpu0,nodeset=3-5 "
                     OBJECT "id=mem1,devid=gpu1,nodeset=7");
    assert_srat_memory(qts, "m0-1 e3-5 e7");
    assert_dsdt(qts, "PCI0.S20:3+3 PCI0.S28:7+1");
    qtest_quit(qts);
}

/* In the HMAT the nodes are initiators as an acpi-generic-initiator's are */
static void test_hmat(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    QTestState *qts = numa_start(machine, EMPTY_ARGS "-machine hmat=on " GPUS
        LATENCY(0, 0, 10) LATENCY(0, 5, 100) LATENCY(4, 1, 60)
        OBJECT "id=mem0,devid=gpu0,nodeset=3-5,generic-initiator=on "
        OBJECT "id=mem1,devid=gpu1,nodeset=6-9");

    assert_hmat(qts, "0 1 3 4 5: 0-0=10 0-5=100 4-1=60");
    qtest_quit(qts);
}

/* A case of a kind, where the machine takes it */
static void add_case(const NumaMachine *machine, int on, const char *kind,
                     const char *name, const void *row, GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("%s/%s", kind, name);

    if (takes(machine, on)) {
        numa_add_case(machine, PREFIX, path, func, row);
    }
}

static void add_tests(const NumaMachine *machine)
{
    for (int i = 0; i < ARRAY_SIZE(topologies); i++) {
        add_case(machine, topologies[i].on, "topology", topologies[i].name,
                 &topologies[i], test_topology);
    }
    for (int i = 0; i < ARRAY_SIZE(plug_cases); i++) {
        add_case(machine, plug_cases[i].on, "plugged", plug_cases[i].name,
                 &plug_cases[i], test_plugged);
    }
    for (int i = 0; i < ARRAY_SIZE(range_cases); i++) {
        add_case(machine, ON_ANY, "dimm-range", range_cases[i].name,
                 &range_cases[i], test_range);
    }
    if (qtest_has_device("sp-mem")) {
        add_case(machine, ON_ANY, "dimm-range", sp_mem_case.name, &sp_mem_case,
                 test_range);
    }
    add_case(machine, ON_ANY, "dimm-range", "only-node-is-initiator", NULL,
             test_range_beside_initiator);
    add_case(machine, ON_ANY, "topology", "many-gpus", NULL, test_many_gpus);
    if (qtest_has_machine(machine->old_type)) {
        numa_add_case(machine, PREFIX, "old-type", test_old_type, NULL);
    }
    numa_add_case(machine, PREFIX, "hmat", test_hmat, NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    numa_add_tests(add_tests);
    return g_test_run();
}

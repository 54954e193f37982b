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
#include "libqtest.h"
#include "acpi-fw-cfg.h"
#include "gpu-mem-tables.h"

#define MAX_GPUS 15

typedef struct Topology {
    const char *name;
    const char *args;
    Gpu gpus[2];
} Topology;

static const Topology topologies[] = {
    {
        "root-bus",
        GPU_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "4.0", 2, 8 } },
    }, {
        "multifunction",
        GPU_DEVICE "id=other,addr=4.0,multifunction=on "
        GPU_DEVICE "id=gpu0,addr=4.3 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "4.3", 2, 8 } },
    }, {
        "root-port",
        "-device pcie-root-port,id=rp0,addr=5,chassis=1 "
        GPU_DEVICE "id=gpu0,bus=rp0 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "5.0/0.0", 2, 8 } },
    }, {
        "root-port-function",
        "-device pcie-root-port,id=rp0,addr=5.0,chassis=1,multifunction=on "
        "-device pcie-root-port,id=rp2,addr=5.2,chassis=2 "
        GPU_DEVICE "id=gpu0,bus=rp2 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "5.2/0.0", 2, 8 } },
    }, {
        "pxb",
        "-device pxb-pcie,id=pxb0,bus_nr=128 "
        "-device pcie-root-port,id=rp0,bus=pxb0,addr=1,chassis=1 "
        GPU_DEVICE "id=gpu0,bus=rp0 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PC80", "1.0/0.0", 2, 8 } },
    }, {
        "two-pxbs",
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
        "switch",
        "-device pcie-root-port,id=rp0,addr=1,chassis=1 "
        "-device x3130-upstream,id=up0,bus=rp0 "
        "-device xio3130-downstream,id=down0,bus=up0,addr=2,chassis=2 "
        GPU_DEVICE "id=gpu0,bus=down0 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "1.0/0.0/2.0/0.0", 2, 8 } },
    }, {
        "two-on-one-switch",
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
        "pcie-pci-bridge",
        "-device pcie-pci-bridge,id=br0,addr=7 "
        GPU_DEVICE "id=gpu0,bus=br0,addr=1f.7 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "7.0/1f.7", 2, 8 } },
    }, {
        "smmuv3",
        "-machine iommu=smmuv3 "
        GPU_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9",
        { { "\\_SB.PCI0", "4.0", 2, 8 } },
    }, {
        "one-node",
        GPU_DEVICE "id=gpu0,addr=4 "
        GPU_DEVICE "id=gpu1,addr=5 "
        OBJECT "id=mem0,devid=gpu0,nodeset=9 "
        OBJECT "id=mem1,devid=gpu1,nodeset=2",
        { { "\\_SB.PCI0", "4.0", 9, 1 }, { "\\_SB.PCI0", "5.0", 2, 1 } },
    }, {
        "unsorted",
        GPU_DEVICE "id=gpu0,addr=4 "
        OBJECT "id=mem0,devid=gpu0,nodeset=6,nodeset=4,nodeset=5",
        { { "\\_SB.PCI0", "4.0", 4, 3 } },
    },
};

static void test_topology(const void *data)
{
    const Topology *topology = data;
    QTestState *qts = qtest_initf(MACHINE_ARGS EMPTY_ARGS "%s",
                                  topology->args);

    assert_srat(qts, LAST_NODE);
    assert_dsdt(qts, topology->gpus, topology->gpus[1].bridge ? 2 : 1);
    assert_iasl(qts);
    qtest_quit(qts);
}

/* As many as fit below MAX_NODES with eight nodes each */
static void test_many_gpus(void)
{
    g_autoptr(GString) args = g_string_new(MACHINE_ARGS);
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
                               i, i + 1, i, i, start, start + EMPTY_NODES - 1);
        hops[i] = g_strdup_printf("%x.0", i + 1);
        gpus[i] = (Gpu) { "\\_SB.PCI0", hops[i], start, EMPTY_NODES };
    }

    qts = qtest_init(args->str);
    assert_srat(qts, CPU_NODES + MAX_GPUS * EMPTY_NODES - 1);
    assert_dsdt(qts, gpus, MAX_GPUS);
    assert_iasl(qts);
    qtest_quit(qts);
}

/*
 * The range for DIMMs belongs to @node, which has no other entry unless it has
 * boot memory, and the first entries of the nodes ascend.
 */
static void assert_hotplug_node(const char *args, uint32_t node)
{
    QTestState *qts = qtest_initf(MACHINE_ARGS EMPTY_ARGS
                                  "-m 256M,slots=2,maxmem=2G "
                                  GPU_DEVICE "id=gpu0,addr=4 "
                                  GPU_DEVICE "id=gpu1,addr=5 %s", args);
    g_autoptr(GByteArray) srat = acpi_fw_cfg_read(qts, "SRAT");
    uint32_t next = 0;
    int ranges = 0;

    for (guint at = 48; at < srat->len; at += srat->data[at + 1]) {
        const uint8_t *entry = srat->data + at;

        if (entry[0] != 1) {
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

static void test_hotplug_range(void)
{
    assert_hotplug_node("", 9);
    assert_hotplug_node(OBJECT "id=mem0,devid=gpu0,nodeset=4-9", 3);
    assert_hotplug_node(OBJECT "id=mem0,devid=gpu0,nodeset=6-9 "
                        OBJECT "id=mem1,devid=gpu1,nodeset=2-5", 1);
}

/* The placeholders are there with and without the object */
static void test_without_object(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS EMPTY_ARGS GPU_DEVICE "id=gpu0");

    assert_srat(qts, LAST_NODE);
    assert_dsdt(qts, NULL, 0);
    qtest_quit(qts);
}

/* Nodes are theirs only as long as the object is there */
static void test_generic_nodes(void)
{
    static const char *const types[] = {
        "{'execute': 'object-add', 'arguments': {'id': 'generic', 'node': 9, "
        "'qom-type': 'acpi-generic-initiator', 'pci-dev': 'gpu0'}}",
        "{'execute': 'object-add', 'arguments': {'id': 'generic', 'node': 9, "
        "'qom-type': 'acpi-generic-port', 'pci-bus': 'none'}}",
    };
    QTestState *qts = qtest_init(MACHINE_ARGS EMPTY_ARGS
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
static void test_initiator_node_named(void)
{
    static const Gpu gpu = { "\\_SB.PCI0", "4.0", 2, 8 };
    QTestState *qts = qtest_init(MACHINE_ARGS EMPTY_ARGS
        GPU_DEVICE "id=gpu0,addr=4 "
        "-object acpi-generic-initiator,id=gi0,pci-dev=gpu0,node=5 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-9");

    assert_srat(qts, LAST_NODE);
    assert_dsdt(qts, &gpu, 1);
    qtest_quit(qts);
}

#ifdef CONFIG_TRACE_LOG
/* Each entry and each _DSD that is built leaves a line in the log */
static void test_trace(void)
{
    g_autofree char *dir = g_dir_make_tmp("gpu-mem-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(dir, "trace.log", NULL);
    g_autofree char *log = NULL;
    QTestState *qts = qtest_initf(MACHINE_ARGS EMPTY_ARGS
        GPU_DEVICE "id=gpu0 " OBJECT "id=mem0,devid=gpu0,nodeset=3-8 "
        "-trace nvidia_gpu_mem_acpi_* -trace acpi_srat_empty_node -D %s",
        file);

    qtest_quit(qts);
    g_assert_true(g_file_get_contents(file, &log, NULL, NULL));
    g_assert_nonnull(strstr(log, "nvidia_gpu_mem_acpi_srat "
                            "object 'mem0': nodes 3-8\n"));
    g_assert_nonnull(strstr(log, "nvidia_gpu_mem_acpi_dsd object 'mem0': "
                            "device 'gpu0': pxm start 3 count 6\n"));
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    for (int i = 0; i < ARRAY_SIZE(topologies); i++) {
        g_autofree char *path = g_strdup_printf(
            "/nvidia-gpu-mem-acpi/topology/%s", topologies[i].name);

        qtest_add_data_func(path, &topologies[i], test_topology);
    }
    qtest_add_func("/nvidia-gpu-mem-acpi/topology/many-gpus", test_many_gpus);
    qtest_add_func("/nvidia-gpu-mem-acpi/nodes/without-object",
                   test_without_object);
    qtest_add_func("/nvidia-gpu-mem-acpi/nodes/generic", test_generic_nodes);
    qtest_add_func("/nvidia-gpu-mem-acpi/nodes/initiator-named",
                   test_initiator_node_named);
    qtest_add_func("/nvidia-gpu-mem-acpi/nodes/hotplug-range",
                   test_hotplug_range);
#ifdef CONFIG_TRACE_LOG
    qtest_add_func("/nvidia-gpu-mem-acpi/trace", test_trace);
#endif
    return g_test_run();
}

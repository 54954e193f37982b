/*
 * QTest of the tables that the nvidia-gpu-mem-acpi object builds: wherever its
 * device is, and whatever happens while the machine runs
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
#include "dsdt-walk.h"

#define ECAM 0x4010000000ULL
#define MAX_GPUS 15

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

/* The placeholders must be those of nodes first to last, after the others */
static void assert_srat(QTestState *qts, int first, int last)
{
    g_autoptr(GByteArray) srat = acpi_fw_cfg_read(qts, "SRAT");
    int node = 0;

    /* Header and reserved bytes, then structures of type and length */
    for (guint at = 48; at < srat->len; at += srat->data[at + 1]) {
        const uint8_t *entry = srat->data + at;

        if (entry[0] != 1) {
            continue;
        }
        g_assert_cmpint(entry[1], ==, 40);
        g_assert_cmpint(ldl_le_p(entry + 2), ==, node);
        if (node >= first) {
            g_assert_cmphex(ldq_le_p(entry + 8), ==, 0);
            g_assert_cmphex(ldq_le_p(entry + 16), ==, 0);
            g_assert_cmphex(ldl_le_p(entry + 28), ==, 3);
        } else {
            g_assert_cmphex(ldq_le_p(entry + 16), !=, 0);
            g_assert_cmphex(ldl_le_p(entry + 28), ==, 1);
        }
        node++;
    }
    g_assert_cmpint(node, ==, last + 1);
}

static void assert_property(const DsdtDevice *dev, const char *name,
                            uint64_t value)
{
    uint64_t *have = g_hash_table_lookup(dev->properties, name);

    if (!have) {
        g_error("%s has no property %s", dev->path, name);
    }
    g_assert_cmpuint(*have, ==, value);
}

static void assert_gpu(const GPtrArray *devices, const Gpu *gpu)
{
    g_auto(GStrv) hops = g_strsplit(gpu->hops, "/", -1);
    g_autoptr(GString) path = g_string_new(gpu->bridge);
    DsdtDevice *dev = NULL;

    for (int i = 0; hops[i]; i++) {
        unsigned slot, function;

        g_assert_cmpint(sscanf(hops[i], "%x.%x", &slot, &function), ==, 2);
        g_string_append_printf(path, ".S%02X", slot << 3 | function);
        dev = dsdt_find(devices, path->str);
        if (!dev) {
            g_error("there is no %s", path->str);
        }
        g_assert_cmphex(dev->adr, ==, slot << 16 | function);
    }

    assert_property(dev, "dev-mem-pxm-start", gpu->start);
    assert_property(dev, "dev-mem-pxm-count", gpu->count);
    assert_property(dev, "nvidia,gpu-mem-pxm-start", gpu->start);
    assert_property(dev, "nvidia,gpu-mem-pxm-count", gpu->count);
    g_assert_cmpint(g_hash_table_size(dev->properties), ==, 4);
}

static void assert_no_address_twice(const GPtrArray *devices)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal,
                                                       g_free, NULL);

    for (guint i = 0; i < devices->len; i++) {
        const DsdtDevice *dev = g_ptr_array_index(devices, i);

        if (dev->adr >= 0) {
            g_autofree char *parent = g_strdup(dev->path);

            *strrchr(parent, '.') = 0;
            if (!g_hash_table_add(seen, g_strdup_printf("%s _ADR %" PRIx64,
                                                        parent, dev->adr))) {
                g_error("%s has an _ADR that is taken", dev->path);
            }
        }
    }
}

/* The DSDT tells of exactly these GPUs */
static void assert_dsdt(QTestState *qts, const Gpu *gpus, int num_gpus)
{
    g_autoptr(GByteArray) dsdt = acpi_fw_cfg_read(qts, "DSDT");
    g_autoptr(GPtrArray) devices = dsdt_walk(dsdt);
    int with_properties = 0;

    for (int i = 0; i < num_gpus; i++) {
        assert_gpu(devices, &gpus[i]);
    }
    for (guint i = 0; i < devices->len; i++) {
        const DsdtDevice *dev = g_ptr_array_index(devices, i);

        with_properties += g_hash_table_size(dev->properties) > 0;
    }
    g_assert_cmpint(with_properties, ==, num_gpus);
    assert_no_address_twice(devices);
}

/* iasl reads the DSDT without a complaint */
static void assert_iasl(QTestState *qts)
{
    g_autoptr(GByteArray) dsdt = acpi_fw_cfg_read(qts, "DSDT");
    g_autofree char *iasl = g_find_program_in_path("iasl");
    g_autofree char *dir = NULL;
    g_autofree char *file = NULL;
    g_autofree char *listing = NULL;
    g_autofree char *output = NULL;
    const char *argv[] = { iasl, "-d", "dsdt.dat", NULL };
    g_autoptr(GError) err = NULL;
    int status;

    if (!iasl) {
        g_test_message("without iasl the DSDT is not disassembled");
        return;
    }
    dir = g_dir_make_tmp("dsdt-XXXXXX", &err);
    g_assert_no_error(err);
    file = g_build_filename(dir, "dsdt.dat", NULL);
    listing = g_build_filename(dir, "dsdt.dsl", NULL);
    g_file_set_contents(file, (char *)dsdt->data, dsdt->len, &err);
    g_assert_no_error(err);

    g_spawn_sync(dir, (char **)argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL,
                 NULL, NULL, &output, &status, &err);
    g_assert_no_error(err);
    g_assert_cmpint(status, ==, 0);
    g_assert_true(g_file_test(listing, G_FILE_TEST_EXISTS));
    g_assert_null(strstr(output, "Warning"));
    g_assert_null(strstr(output, "Error"));

    unlink(file);
    unlink(listing);
    rmdir(dir);
}

static void test_topology(const void *data)
{
    const Topology *topology = data;
    QTestState *qts = qtest_initf(MACHINE_ARGS EMPTY_ARGS "%s",
                                  topology->args);

    assert_srat(qts, CPU_NODES, CPU_NODES + EMPTY_NODES - 1);
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
    assert_srat(qts, CPU_NODES, CPU_NODES + MAX_GPUS * EMPTY_NODES - 1);
    assert_dsdt(qts, gpus, MAX_GPUS);
    assert_iasl(qts);
    qtest_quit(qts);
}

/* The node that the range for DIMMs is said to belong to, at its end */
static void assert_hotplug_node(const char *args, uint32_t node)
{
    QTestState *qts = qtest_initf(MACHINE_ARGS EMPTY_ARGS
                                  "-m 256M,slots=2,maxmem=2G "
                                  GPU_DEVICE "id=gpu0,addr=4 "
                                  GPU_DEVICE "id=gpu1,addr=5 %s", args);
    g_autoptr(GByteArray) srat = acpi_fw_cfg_read(qts, "SRAT");
    const uint8_t *entry = srat->data + srat->len - 40;

    g_assert_cmpint(entry[0], ==, 1);
    g_assert_cmphex(ldl_le_p(entry + 28), ==, 3);
    g_assert_cmphex(ldq_le_p(entry + 16), !=, 0);
    g_assert_cmpint(ldl_le_p(entry + 2), ==, node);
    qtest_quit(qts);
}

static void test_hotplug_range(void)
{
    assert_hotplug_node("", 9);
    assert_hotplug_node(OBJECT "id=mem0,devid=gpu0,nodeset=4-9", 3);
    assert_hotplug_node(OBJECT "id=mem0,devid=gpu0,nodeset=6-9 "
                        OBJECT "id=mem1,devid=gpu1,nodeset=2-5", 1);
}

static void object_add(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{'execute': 'object-add', 'arguments': "
                             "{'qom-type': 'nvidia-gpu-mem-acpi', "
                             "'id': 'mem0', 'devid': 'gpu0', "
                             "'nodeset': [2, 3]}}");
}

static void object_del(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{'execute': 'object-del', "
                             "'arguments': {'id': 'mem0'}}");
}

/* The placeholders are there with and without the object */
static void test_without_object(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS EMPTY_ARGS GPU_DEVICE "id=gpu0");

    assert_srat(qts, CPU_NODES, CPU_NODES + EMPTY_NODES - 1);
    assert_dsdt(qts, NULL, 0);
    qtest_quit(qts);
}

static void test_object_added_and_deleted(void)
{
    static const Gpu gpu = { "\\_SB.PCI0", "4.0", 2, 2 };
    QTestState *qts = qtest_init(MACHINE_ARGS EMPTY_ARGS
                                 GPU_DEVICE "id=gpu0,addr=4");

    /* What the firmware has read stays: a reset makes new tables */
    assert_dsdt(qts, NULL, 0);
    object_add(qts);
    assert_dsdt(qts, NULL, 0);
    qtest_system_reset(qts);
    assert_dsdt(qts, &gpu, 1);
    object_del(qts);
    qtest_system_reset(qts);
    assert_dsdt(qts, NULL, 0);
    assert_srat(qts, CPU_NODES, CPU_NODES + EMPTY_NODES - 1);
    qtest_quit(qts);
}

static void test_resets(void)
{
    QTestState *qts = qtest_initf(MACHINE_ARGS EMPTY_ARGS "%s",
                                  topologies[5].args);
    g_autoptr(GByteArray) srat = acpi_fw_cfg_read(qts, "SRAT");
    g_autoptr(GByteArray) dsdt = acpi_fw_cfg_read(qts, "DSDT");

    for (int i = 0; i < 20; i++) {
        g_autoptr(GByteArray) srat_now = NULL;
        g_autoptr(GByteArray) dsdt_now = NULL;

        qtest_system_reset(qts);
        srat_now = acpi_fw_cfg_read(qts, "SRAT");
        dsdt_now = acpi_fw_cfg_read(qts, "DSDT");
        g_assert_cmpmem(srat_now->data, srat_now->len, srat->data, srat->len);
        g_assert_cmpmem(dsdt_now->data, dsdt_now->len, dsdt->data, dsdt->len);
    }
    qtest_quit(qts);
}

/* What a guest does that is asked for the device below the port at @devfn */
static void power_slot_off(QTestState *qts, int devfn)
{
    uint64_t config = ECAM + (devfn << 12);
    uint8_t cap = qtest_readb(qts, config + PCI_CAPABILITY_LIST);

    while (cap && qtest_readb(qts, config + cap) != PCI_CAP_ID_EXP) {
        cap = qtest_readb(qts, config + cap + PCI_CAP_LIST_NEXT);
    }
    g_assert_cmphex(cap, !=, 0);
    qtest_writew(qts, config + cap + PCI_EXP_SLTCTL,
                 PCI_EXP_SLTCTL_PWR_IND_ON);
    qtest_writew(qts, config + cap + PCI_EXP_SLTCTL,
                 PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PCC);
}

static int count_of(const char *haystack, const char *needle)
{
    int count = 0;

    while ((haystack = strstr(haystack, needle))) {
        haystack += strlen(needle);
        count++;
    }
    return count;
}

static void test_device_unplugged(void)
{
    static const Gpu gpus[] = {
        { "\\_SB.PCI0", "2.0", 4, 2 },
        { "\\_SB.PCI0", "1.0/0.0", 2, 2 },
    };
    g_autofree char *log = NULL;
    g_autofree char *printed = NULL;
    g_autoptr(GError) err = NULL;
    int fd = g_file_open_tmp("qemu-XXXXXX", &log, &err);
    QTestState *qts;

    g_assert_no_error(err);
    close(fd);
    qts = qtest_initf(MACHINE_ARGS EMPTY_ARGS
                      "-device pcie-root-port,id=rp0,addr=1,chassis=1 "
                      GPU_DEVICE "id=gpu0,bus=rp0 "
                      GPU_DEVICE "id=gpu1,addr=2 "
                      OBJECT "id=mem0,devid=gpu0,nodeset=2-3 "
                      OBJECT "id=mem1,devid=gpu1,nodeset=4-5 2>%s", log);
    assert_dsdt(qts, gpus, 2);

    qtest_qmp_assert_success(qts, "{'execute': 'device_del', "
                             "'arguments': {'id': 'gpu0'}}");
    power_slot_off(qts, 1 << 3);
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
    for (int i = 0; i < 3; i++) {
        qtest_system_reset(qts);
        assert_dsdt(qts, gpus, 1);
        assert_srat(qts, CPU_NODES, CPU_NODES + EMPTY_NODES - 1);
    }

    qtest_qmp_assert_success(qts, "{'execute': 'device_add', 'arguments': "
                             "{'driver': 'pci-testdev', 'id': 'gpu0', "
                             "'bus': 'rp0'}}");
    qtest_system_reset(qts);
    assert_dsdt(qts, gpus, 2);
    qtest_quit(qts);

    g_file_get_contents(log, &printed, NULL, &err);
    g_assert_no_error(err);
    unlink(log);
    g_assert_cmpint(count_of(printed, "object 'mem0' is without effect: its "
                             "device 'gpu0' is gone"), ==, 1);
}

/* A bridge that was plugged in, and what is behind it */
static void test_device_below_plugged_bridge(void)
{
    static const Gpu gpu = { "\\_SB.PCI0", "1.0/0.0/3.0", 2, 2 };
    QTestState *qts = qtest_init(MACHINE_ARGS EMPTY_ARGS
        "-device pcie-root-port,id=rp0,addr=1,chassis=1");

    qtest_qmp_assert_success(qts, "{'execute': 'device_add', 'arguments': "
                             "{'driver': 'pcie-pci-bridge', 'id': 'br0', "
                             "'bus': 'rp0'}}");
    qtest_qmp_assert_success(qts, "{'execute': 'device_add', 'arguments': "
                             "{'driver': 'pci-testdev', 'id': 'gpu0', "
                             "'bus': 'br0', 'addr': '3'}}");
    object_add(qts);
    qtest_system_reset(qts);
    assert_dsdt(qts, &gpu, 1);
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
            assert_srat(qts, CPU_NODES, CPU_NODES + EMPTY_NODES - 2);
        }
        qtest_qmp_assert_success(qts, "{'execute': 'object-del', "
                                 "'arguments': {'id': 'generic'}}");
        qtest_system_reset(qts);
        assert_srat(qts, CPU_NODES, CPU_NODES + EMPTY_NODES - 1);
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

    assert_srat(qts, CPU_NODES, CPU_NODES + EMPTY_NODES - 1);
    assert_dsdt(qts, &gpu, 1);
    qtest_quit(qts);
}

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
    qtest_add_func("/nvidia-gpu-mem-acpi/life/object-added-and-deleted",
                   test_object_added_and_deleted);
    qtest_add_func("/nvidia-gpu-mem-acpi/life/resets", test_resets);
    qtest_add_func("/nvidia-gpu-mem-acpi/life/device-unplugged",
                   test_device_unplugged);
    qtest_add_func("/nvidia-gpu-mem-acpi/life/below-plugged-bridge",
                   test_device_below_plugged_bridge);
    return g_test_run();
}

/*
 * QTest of the tables that the nvidia-gpu-mem-acpi object builds while things
 * happen to a machine: objects and devices come and go, resets, migration
 *
 * The tables are read from fw_cfg as firmware would, but no firmware runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/pci_regs.h"
#include "libqtest.h"
#include "acpi-fw-cfg.h"
#include "gpu-mem-tables.h"

static void object_add(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{'execute': 'object-add', 'arguments': "
                             "{'qom-type': 'nvidia-gpu-mem-acpi', "
                             "'id': 'mem0', 'devid': 'gpu0', "
                             "'nodeset': [2, 3], "
                             "'generic-initiator': 'on', 'pxm': 0}}");
}

static void object_del(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{'execute': 'object-del', "
                             "'arguments': {'id': 'mem0'}}");
}

static void test_object_added_and_deleted(const void *machine)
{
    static const Gpu gpu = { "\\_SB.PCI0", "4.0", 2, 2, true, 0 };
    static const Initiators initiators = { 2, 2, 0, 0x20 };
    QTestState *qts = gpu_mem_start(machine, EMPTY_ARGS
                                    GPU_DEVICE "id=gpu0,addr=4");

    /* What the firmware has read stays: a reset makes new tables */
    assert_dsdt(qts, NULL, 0);
    object_add(qts);
    assert_dsdt(qts, NULL, 0);
    assert_initiators(qts, NULL, 0);
    qtest_system_reset(qts);
    assert_dsdt(qts, &gpu, 1);
    assert_initiators(qts, &initiators, 1);
    object_del(qts);
    qtest_system_reset(qts);
    assert_dsdt(qts, NULL, 0);
    assert_initiators(qts, NULL, 0);
    assert_srat(qts, LAST_NODE);
    qtest_quit(qts);
}

/* Two GPUs, each behind a root port of its own pxb-pcie */
#define TWO_PXBS_ARGS                                                   \
    "-device pxb-pcie,id=pxb0,bus_nr=128 "                              \
    "-device pxb-pcie,id=pxb1,bus=pcie.0,bus_nr=192 "                   \
    "-device pcie-root-port,id=rp0,bus=pxb0,addr=0,chassis=1 "          \
    "-device pcie-root-port,id=rp1,bus=pxb1,addr=0,chassis=2 "          \
    GPU_DEVICE "id=gpu0,bus=rp0 " GPU_DEVICE "id=gpu1,bus=rp1 "         \
    OBJECT "id=mem0,devid=gpu0,nodeset=6-9 "                            \
    OBJECT "id=mem1,devid=gpu1,nodeset=2-5"

static void test_resets(const void *machine)
{
    QTestState *qts = gpu_mem_start(machine, EMPTY_ARGS "%s", TWO_PXBS_ARGS);
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
    uint8_t cap = pci_config_readb(qts, 0, devfn, PCI_CAPABILITY_LIST);

    while (cap && pci_config_readb(qts, 0, devfn, cap) != PCI_CAP_ID_EXP) {
        cap = pci_config_readb(qts, 0, devfn, cap + PCI_CAP_LIST_NEXT);
    }
    g_assert_cmphex(cap, !=, 0);
    pci_config_writew(qts, 0, devfn, cap + PCI_EXP_SLTCTL,
                      PCI_EXP_SLTCTL_PWR_IND_ON);
    pci_config_writew(qts, 0, devfn, cap + PCI_EXP_SLTCTL,
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

static void test_device_unplugged(const void *machine)
{
    static const Gpu gpus[] = {
        { "\\_SB.PCI0", "2.0", 4, 2 },
        { "\\_SB.PCI0", "1.0/0.0", 2, 2, true, 1 },
    };
    static const Initiators initiators[] = {
        { 2, 2, 0, 0 }, { 4, 2, 0, 0x10 },
    };
    g_autofree char *log = NULL;
    g_autofree char *printed = NULL;
    g_autoptr(GError) err = NULL;
    int fd = g_file_open_tmp("qemu-XXXXXX", &log, &err);
    QTestState *qts;

    g_assert_no_error(err);
    close(fd);
    qts = gpu_mem_start(machine, EMPTY_ARGS
        "-device pcie-root-port,id=rp0,addr=1,chassis=1 "
        GPU_DEVICE "id=gpu0,bus=rp0 " GPU_DEVICE "id=gpu1,addr=2 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-3,generic-initiator=auto,pxm=1 "
        OBJECT "id=mem1,devid=gpu1,nodeset=4-5,generic-initiator=on 2>%s",
        log);
    assert_dsdt(qts, gpus, 2);
    assert_initiators(qts, initiators, 2);

    qtest_qmp_assert_success(qts, "{'execute': 'device_del', "
                             "'arguments': {'id': 'gpu0'}}");
    power_slot_off(qts, 1 << 3);
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
    for (int i = 0; i < 3; i++) {
        qtest_system_reset(qts);
        assert_dsdt(qts, gpus, 1);
        assert_srat(qts, LAST_NODE);
        assert_initiators(qts, &initiators[1], 1);
    }

    qtest_qmp_assert_success(qts, "{'execute': 'device_add', 'arguments': "
                             "{'driver': 'pci-testdev', 'id': 'gpu0', "
                             "'bus': 'rp0'}}");
    qtest_system_reset(qts);
    assert_dsdt(qts, gpus, 2);
    assert_initiators(qts, initiators, 2);
    qtest_quit(qts);

    g_file_get_contents(log, &printed, NULL, &err);
    g_assert_no_error(err);
    unlink(log);
    g_assert_cmpint(count_of(printed, "object 'mem0' is without effect: its "
                             "device 'gpu0' is gone"), ==, 1);
}

/* A bridge that was plugged in, and what is behind it */
static void test_device_below_plugged_bridge(const void *machine)
{
    static const Gpu gpu = { "\\_SB.PCI0", "1.0/0.0/3.0", 2, 2, true, 0 };
    QTestState *qts = gpu_mem_start(machine, EMPTY_ARGS
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

/* Wait until an @event comes with @status */
static void wait_for_status(QTestState *qts, const char *event,
                            const char *status)
{
    bool reached;

    do {
        QDict *rsp = qtest_qmp_eventwait_ref(qts, event);
        const char *now = qdict_get_str(qdict_get_qdict(rsp, "data"), "status");

        g_assert_cmpstr(now, !=, "failed");
        reached = g_str_equal(now, status);
        qobject_unref(rsp);
    } while (!reached);
}

/* Have @from migrate to @to, which runs then */
static void migrate(QTestState *from, QTestState *to, const char *uri)
{
    g_autoptr(QDict) rsp = NULL;

    qtest_qmp_assert_success(from, "{'execute': 'migrate-set-capabilities', "
                             "'arguments': {'capabilities': [ "
                             "{'capability': 'events', 'state': true } ]}}");
    qtest_qmp_assert_success(from, "{'execute': 'migrate', "
                             "'arguments': {'uri': %s}}", uri);
    wait_for_status(from, "MIGRATION", "completed");

    qtest_qmp_eventwait(to, "RESUME");
    rsp = qtest_qmp(to, "{'execute': 'query-status'}");
    g_assert_true(qdict_get_bool(qdict_get_qdict(rsp, "return"), "running"));
}

static const Gpu gpu_on_root_bus = { "\\_SB.PCI0", "4.0", 2, 2 };

/*
 * Migrate a machine with @from_args to one with @to_args.  What the guest's
 * firmware has read moves along; a reset makes the target's own tables.
 */
static void migrate_and_reset(const GpuMemMachine *machine,
                              const char *from_args,
                              const char *to_args,
                              int num_gpus_before, int num_gpus_after)
{
    g_autofree char *dir = g_dir_make_tmp("migration-XXXXXX", NULL);
    g_autofree char *uri = g_strdup_printf("unix:%s/socket", dir);
    g_autofree char *socket = g_strdup(uri + strlen("unix:"));
    QTestState *from = gpu_mem_start(machine, EMPTY_ARGS
                                     GPU_DEVICE "id=gpu0,addr=4 %s",
                                     from_args);
    QTestState *to = gpu_mem_start(machine, EMPTY_ARGS
                                   GPU_DEVICE "id=gpu0,addr=4 %s "
                                   "-incoming %s", to_args, uri);

    assert_dsdt(from, &gpu_on_root_bus, num_gpus_before);
    migrate(from, to, uri);
    qtest_quit(from);
    assert_dsdt(to, &gpu_on_root_bus, num_gpus_before);
    qtest_system_reset(to);
    assert_dsdt(to, &gpu_on_root_bus, num_gpus_after);
    assert_srat(to, LAST_NODE);
    qtest_quit(to);
    unlink(socket);
    rmdir(dir);
}

#define GPU0_OBJECT OBJECT "id=mem0,devid=gpu0,nodeset=2-3"

static void test_migration_same(const void *machine)
{
    migrate_and_reset(machine, GPU0_OBJECT, GPU0_OBJECT, 1, 1);
}

static void test_migration_object_lost(const void *machine)
{
    migrate_and_reset(machine, GPU0_OBJECT, "", 1, 0);
}

static void test_migration_object_gained(const void *machine)
{
    migrate_and_reset(machine, "", GPU0_OBJECT, 0, 1);
}

/* Make file @name the node "image", in qcow2, which can hold a snapshot */
static void add_image(QTestState *qts, const char *name)
{
    qtest_qmp_assert_success(qts, "{'execute': 'blockdev-add', 'arguments': "
                             "{'driver': 'file', 'node-name': 'file', "
                             "'filename': %s}}", name);
    qtest_qmp_assert_success(qts, "{'execute': 'blockdev-create', "
                             "'arguments': {'job-id': 'create', 'options': "
                             "{'driver': 'qcow2', 'file': 'file', "
                             "'size': 1048576}}}");
    wait_for_status(qts, "JOB_STATUS_CHANGE", "concluded");
    qtest_qmp_assert_success(qts, "{'execute': 'job-dismiss', "
                             "'arguments': {'id': 'create'}}");
    qtest_qmp_assert_success(qts, "{'execute': 'blockdev-add', 'arguments': "
                             "{'driver': 'qcow2', 'node-name': 'image', "
                             "'file': 'file'}}");
}

static void assert_hmp(QTestState *qts, const char *command)
{
    g_autofree char *printed = qtest_hmp(qts, "%s", command);

    g_assert_cmpstr(printed, ==, "");
}

static void test_snapshot(const void *machine)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *name = NULL;
    int fd = g_file_open_tmp("snapshot-XXXXXX", &name, &err);
    QTestState *qts;

    g_assert_no_error(err);
    close(fd);
    qts = gpu_mem_start(machine, EMPTY_ARGS GPU_DEVICE "id=gpu0,addr=4 "
                        GPU0_OBJECT);
    add_image(qts, name);

    assert_dsdt(qts, &gpu_on_root_bus, 1);
    assert_hmp(qts, "savevm with");
    object_del(qts);
    qtest_system_reset(qts);
    assert_dsdt(qts, NULL, 0);

    /* The tables that the guest had; the next ones are for what is there now */
    assert_hmp(qts, "loadvm with");
    assert_dsdt(qts, &gpu_on_root_bus, 1);
    qtest_system_reset(qts);
    assert_dsdt(qts, NULL, 0);
    qtest_quit(qts);
    unlink(name);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        GTestDataFunc func;
    } tests[] = {
        { "object-added-and-deleted", test_object_added_and_deleted },
        { "resets", test_resets },
        { "device-unplugged", test_device_unplugged },
        { "below-plugged-bridge", test_device_below_plugged_bridge },
        { "migration/same", test_migration_same },
        { "migration/object-lost", test_migration_object_lost },
        { "migration/object-gained", test_migration_object_gained },
        { "snapshot", test_snapshot },
    };
    const GpuMemMachine *machine = NULL;

    g_test_init(&argc, &argv, NULL);
    while ((machine = gpu_mem_next_machine(machine))) {
        for (int i = 0; i < ARRAY_SIZE(tests); i++) {
            g_autofree char *path = g_strdup_printf(
                "/nvidia-gpu-mem-acpi/%s/life/%s", machine->type,
                tests[i].name);

            qtest_add_data_func(path, machine, tests[i].func);
        }
    }
    return g_test_run();
}

/*
 * QTest of the tables that the dev-mem-pxm-acpi and nvidia-gpu-mem-acpi objects
 * make while things happen to a machine: objects and devices come and go,
 * resets, migration
 *
 * The tables are read from fw_cfg as firmware would, but no firmware runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "acpi-fw-cfg.h"
#include "acpi-numa.h"
#include "dev-mem-pxm-dsdt.h"

#define OBJECT "-object nvidia-gpu-mem-acpi,"
#define GPU0 PCI_DEVICE "id=gpu0,addr=4 "

static const NumaMachine *machine_of(const void *data)
{
    return ((const NumaCase *)data)->machine;
}

static QDict *object_add(QTestState *qts, const char *id, const char *devid,
                         int node)
{
    return qtest_qmp(qts, "{'execute': 'object-add', 'arguments': "
                     "{'qom-type': 'nvidia-gpu-mem-acpi', 'id': %s, "
                     "'devid': %s, 'nodeset': [%d, %d], "
                     "'generic-initiator': true}}", id, devid, node, node + 1);
}

static void object_added(QTestState *qts, const char *id, const char *devid,
                         int node)
{
    QDict *rsp = object_add(qts, id, devid, node);

    g_assert_true(qdict_haskey(rsp, "return"));
    qobject_unref(rsp);
}

static void assert_tables(QTestState *qts, const char *dsdt,
                          const char *generic)
{
    assert_dsdt(qts, dsdt);
    assert_srat_generic(qts, generic);
    assert_srat_memory(qts, "m0-1 e2-9");
}

static void test_object_added_and_deleted(const void *data)
{
    QTestState *qts = numa_start(machine_of(data), EMPTY_ARGS GPU0);

    /* What the firmware has read stays: a reset makes new tables */
    assert_tables(qts, "", "");
    object_added(qts, "mem0", "gpu0", 2);
    assert_tables(qts, "", "");
    qtest_system_reset(qts);
    assert_tables(qts, "PCI0.S20:2+2", "gi2-3@00:20");
    numa_object_del(qts, "mem0");
    qtest_system_reset(qts);
    assert_tables(qts, "", "");
    qtest_quit(qts);
}

#define HMAT_ARGS                                                       \
    "-machine hmat=on " GPU0                                            \
    OBJECT "id=mem0,devid=gpu0,nodeset=4-5,generic-initiator=on "       \
    LATENCY(0, 0, 10) LATENCY(4, 1, 60)

/* HMAT and SRAT have the same initiators, whatever was added and deleted */
static void test_hmat(const void *data)
{
    QTestState *qts = numa_start(machine_of(data), EMPTY_ARGS HMAT_ARGS);

    for (int i = 0; i < 2; i++) {
        assert_tables(qts, "PCI0.S20:4+2", "gi4-5@00:20");
        assert_hmat(qts, "0 1 4 5: 0-0=10 4-1=60");
        numa_object_del(qts, "mem0");
        qtest_system_reset(qts);
        assert_tables(qts, "", "");
        assert_hmat(qts, "0 1: 0-0=10");
        qobject_unref(object_add(qts, "mem0", "gpu7", 4));
        qtest_system_reset(qts);
        assert_tables(qts, "", "");
        assert_hmat(qts, "0 1: 0-0=10");
        object_added(qts, "mem0", "gpu0", 4);
        qtest_system_reset(qts);
    }
    qtest_quit(qts);
}

static void test_hmat_preconfig(const void *data)
{
    QTestState *qts = numa_start(machine_of(data), "--preconfig "
                                 EMPTY_ARGS HMAT_ARGS);

    numa_object_del(qts, "mem0");
    object_added(qts, "mem1", "gpu0", 8);
    qobject_unref(object_add(qts, "mem2", "gpu0", 2));
    numa_object_del(qts, "mem1");
    object_added(qts, "mem3", "gpu0", 6);
    qtest_qmp_assert_success(qts, "{'execute': 'x-exit-preconfig'}");
    assert_tables(qts, "PCI0.S20:6+2", "gi6-7@00:20");
    assert_hmat(qts, "0 1 6 7: 0-0=10");
    qtest_quit(qts);
}

static void test_resets(const void *data)
{
    QTestState *qts = numa_start(machine_of(data), EMPTY_ARGS
        GPU0 PCI_DEVICE "id=gpu1,addr=5 "
        OBJECT "id=mem0,devid=gpu0,nodeset=6-9,generic-initiator=on "
        OBJECT "id=mem1,devid=gpu1,nodeset=2-5");
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

/* gpu0 in the place where it can be unplugged, and gpu1 elsewhere */
static QTestState *start_unpluggable(const NumaMachine *machine, bool plugged,
                                     const char *args)
{
    g_autofree char *gpu0 = numa_slot_device(machine, "gpu0");

    return numa_start(machine, EMPTY_ARGS "-machine hmat=on " LATENCY(0, 0, 10)
        "%s %s" PCI_DEVICE "id=gpu1,addr=2 "
        OBJECT "id=mem0,devid=gpu0,nodeset=2-3,generic-initiator=on "
        OBJECT "id=mem1,devid=gpu1,nodeset=4-5,generic-initiator=on %s",
        machine->slot_args, plugged ? gpu0 : "", args);
}

static void assert_with_gpu0(const NumaMachine *machine, QTestState *qts)
{
    if (machine->express) {
        assert_tables(qts, "PCI0.S10:4+2 PCI0.SF0.S00:2+2",
                      "gi2-3@00:00 gi4-5@00:10");
    } else {
        assert_tables(qts, "PCI0.S10:4+2 PCI0.SF0:2+2",
                      "gi2-3@00:f0 gi4-5@00:10");
    }
    assert_hmat(qts, "0 1 2 3 4 5: 0-0=10");
}

static void assert_without_gpu0(QTestState *qts)
{
    assert_tables(qts, "PCI0.S10:4+2", "gi4-5@00:10");
    assert_hmat(qts, "0 1 4 5: 0-0=10");
}

#define GONE                                                            \
    "nvidia-gpu-mem-acpi object 'mem0' is without effect: devid=gpu0: " \
    "there is no such device\n"

static void test_unplugged(const void *data)
{
    const NumaMachine *machine = machine_of(data);
    g_autofree char *log = numa_tmp_file();
    g_autofree char *args = g_strdup_printf("2>%s", log);
    QTestState *qts = start_unpluggable(machine, true, args);

    for (int i = 0; i < 2; i++) {
        assert_with_gpu0(machine, qts);
        numa_unplug(machine, qts, "gpu0");
        for (int j = 0; j < 3; j++) {
            qtest_system_reset(qts);
            assert_without_gpu0(qts);
        }
        numa_plug(machine, qts, "gpu0");
        qtest_system_reset(qts);
    }
    assert_with_gpu0(machine, qts);
    qtest_quit(qts);
    /* Once each time that it is gone */
    assert_log(log, GONE, 2);
}

/* From a VM whose GPU has been unplugged, to one that is without it */
static void test_incoming(const void *data)
{
    const NumaCase *c = data;
    bool defer = c->row;
    g_autofree char *state = numa_tmp_file();
    g_autofree char *log = numa_tmp_file();
    g_autofree char *uri = g_strdup_printf("file:%s", state);
    g_autofree char *args = g_strdup_printf("-incoming %s 2>%s",
                                            defer ? "defer" : uri, log);
    QTestState *qts = start_unpluggable(c->machine, true, "");

    numa_unplug(c->machine, qts, "gpu0");
    numa_save(qts, state);
    qtest_quit(qts);

    qts = start_unpluggable(c->machine, false, args);
    if (defer) {
        qtest_qmp_assert_success(qts, "{'execute': 'migrate-incoming', "
                                 "'arguments': {'uri': %s}}", uri);
    }
    numa_wait_running(qts);
    qtest_system_reset(qts);
    assert_without_gpu0(qts);
    numa_plug(c->machine, qts, "gpu0");
    qtest_system_reset(qts);
    assert_with_gpu0(c->machine, qts);
    qtest_quit(qts);
    assert_log(log, GONE, 1);
    unlink(state);
}

/*
 * Machines with these arguments, one the other's destination.  What the guest's
 * firmware has read moves along; a reset makes the destination's own tables.
 */
typedef struct MigrationCase {
    const char *name;
    const char *from_args;
    const char *from_dsdt;
    const char *to_args;
    const char *to_dsdt;
} MigrationCase;

#define GPU0_OBJECT OBJECT "id=mem0,devid=gpu0,nodeset=2-3 "

static const MigrationCase migrations[] = {
    {
        "migration/same",
        GPU0_OBJECT, "PCI0.S20:2+2", GPU0_OBJECT, "PCI0.S20:2+2",
    }, {
        "migration/object-lost",
        GPU0_OBJECT, "PCI0.S20:2+2", "", "",
    }, {
        "migration/object-gained",
        "", "", GPU0_OBJECT, "PCI0.S20:2+2",
    },
};

static void test_migration(const void *data)
{
    const NumaCase *c = data;
    const MigrationCase *migration = c->row;
    g_autofree char *state = numa_tmp_file();
    QTestState *qts = numa_start(c->machine, EMPTY_ARGS GPU0 "%s",
                                 migration->from_args);

    assert_tables(qts, migration->from_dsdt, "");
    numa_save(qts, state);
    qtest_quit(qts);

    qts = numa_start(c->machine, EMPTY_ARGS GPU0 "%s -incoming file:%s",
                     migration->to_args, state);
    numa_wait_running(qts);
    assert_tables(qts, migration->from_dsdt, "");
    qtest_system_reset(qts);
    assert_tables(qts, migration->to_dsdt, "");
    qtest_quit(qts);
    unlink(state);
}

/* Make file @name the node "image", in qcow2, which can hold a snapshot */
static void add_image(QTestState *qts, const char *name)
{
    g_autofree char *status = NULL;

    qtest_qmp_assert_success(qts, "{'execute': 'blockdev-add', 'arguments': "
                             "{'driver': 'file', 'node-name': 'file', "
                             "'filename': %s}}", name);
    qtest_qmp_assert_success(qts, "{'execute': 'blockdev-create', "
                             "'arguments': {'job-id': 'create', 'options': "
                             "{'driver': 'qcow2', 'file': 'file', "
                             "'size': 1048576}}}");
    do {
        QDict *rsp = qtest_qmp_eventwait_ref(qts, "JOB_STATUS_CHANGE");

        g_free(status);
        status = g_strdup(qdict_get_str(qdict_get_qdict(rsp, "data"),
                                        "status"));
        qobject_unref(rsp);
    } while (!g_str_equal(status, "concluded"));
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

static void test_snapshot(const void *data)
{
    g_autofree char *name = numa_tmp_file();
    QTestState *qts = numa_start(machine_of(data), EMPTY_ARGS GPU0 GPU0_OBJECT);

    add_image(qts, name);
    assert_tables(qts, "PCI0.S20:2+2", "");
    assert_hmp(qts, "savevm with");
    numa_object_del(qts, "mem0");
    qtest_system_reset(qts);
    assert_tables(qts, "", "");

    /* The tables that the guest had; the next ones are for what is there now */
    assert_hmp(qts, "loadvm with");
    assert_tables(qts, "PCI0.S20:2+2", "");
    qtest_system_reset(qts);
    assert_tables(qts, "", "");
    qtest_quit(qts);
    unlink(name);
}

/* The VM that was saved ran with the command line that it is loaded with */
static void test_loadvm(const void *data)
{
    const NumaMachine *machine = machine_of(data);
    g_autofree char *args = numa_args(machine, EMPTY_ARGS
                                      GPU0_OBJECT "-loadvm with");

    assert_refused(args, "nvidia-gpu-mem-acpi object 'mem0': devid=gpu0: "
                   "there is no such device");
}

static void add_tests(const NumaMachine *machine)
{
    static const struct {
        const char *name;
        GTestDataFunc func;
        const void *row;
    } tests[] = {
        { "object-added-and-deleted", test_object_added_and_deleted },
        { "hmat/running", test_hmat },
        { "hmat/preconfig", test_hmat_preconfig },
        { "resets", test_resets },
        { "unplugged", test_unplugged },
        { "incoming/at-once", test_incoming },
        { "incoming/defer", test_incoming, "defer" },
        { "snapshot", test_snapshot },
        { "loadvm", test_loadvm },
    };
    const char *prefix = "dev-mem-pxm-life";

    for (int i = 0; i < ARRAY_SIZE(tests); i++) {
        numa_add_case(machine, prefix, tests[i].name, tests[i].func,
                      tests[i].row);
    }
    for (int i = 0; i < ARRAY_SIZE(migrations); i++) {
        numa_add_case(machine, prefix, migrations[i].name, test_migration,
                      &migrations[i]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    numa_add_tests(add_tests);
    return g_test_run();
}

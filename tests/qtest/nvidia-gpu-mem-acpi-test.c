/*
 * QTest of the nvidia-gpu-mem-acpi object: its properties, its errors, and how
 * it is added and deleted
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qnum.h"
#include "qobject/qstring.h"

/*
 * Nodes 0 and 1 have memory and CPUs, 2 has CPUs only, 3 memory only, 4-9 are
 * empty.  There are two devices on the root bus, gpu0 and gpu1.
 */
#define MACHINE_ARGS                                                    \
    "-machine virt -accel qtest -display none -nodefaults "             \
    "-m 384M -smp 3 "                                                   \
    "-object memory-backend-ram,id=ram0,size=128M "                     \
    "-object memory-backend-ram,id=ram1,size=128M "                     \
    "-object memory-backend-ram,id=ram3,size=128M "                     \
    "-numa node,nodeid=0,memdev=ram0,cpus=0 "                           \
    "-numa node,nodeid=1,memdev=ram1,cpus=1 "                           \
    "-numa node,nodeid=2,cpus=2 "                                       \
    "-numa node,nodeid=3,memdev=ram3 "                                  \
    "-numa node,nodeid=4 -numa node,nodeid=5 -numa node,nodeid=6 "      \
    "-numa node,nodeid=7 -numa node,nodeid=8 -numa node,nodeid=9 "

#define GPU_ARGS                                                        \
    "-device pci-testdev,id=gpu0,addr=4 "                               \
    "-device pci-testdev,id=gpu1,addr=5 "

#define OBJECT_ARG "-object nvidia-gpu-mem-acpi,"

#define GPU0_OBJECT_ARG OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-7 "

#define INITIATOR5_ARG                                                  \
    "-object acpi-generic-initiator,id=gi0,pci-dev=gpu1,node=5 "

#define HMAT_LB_ARG(initiator)                                          \
    "-numa hmat-lb,initiator=" initiator ",target=0,hierarchy=memory,"  \
    "data-type=access-latency,latency=10 "

/* gpu2 is below an expander bridge that is near to node 1 */
#define PXB1_ARGS                                                       \
    "-device pxb-pcie,id=pxb0,bus=pcie.0,bus_nr=128,numa_node=1 "       \
    "-device pcie-root-port,id=rp0,bus=pxb0,addr=0,chassis=1 "          \
    "-device pci-testdev,id=gpu2,bus=rp0 "

/* The start of an error about object mem0 */
#define MEM0 "nvidia-gpu-mem-acpi object 'mem0': "

/*
 * Run QEMU with @args and have its monitor quit it if it starts at all.
 * Returns its exit status, and in @output what it printed.
 */
static int run_qemu(const char *args, char **output)
{
    g_autofree char *command = g_strdup_printf(
        "echo quit | %s %s -S -monitor stdio 2>&1", getenv("QTEST_QEMU_BINARY"),
        args);
    const char *argv[] = { "/bin/sh", "-c", command, NULL };
    g_autoptr(GError) err = NULL;
    int status;

    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL,
                 output, NULL, &status, &err);
    g_assert_no_error(err);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A command line that must be refused */
typedef struct RefusedCase {
    const char *name;
    const char *args;
    const char *message;
} RefusedCase;

static const RefusedCase refused_cases[] = {
    {
        "devid/missing", OBJECT_ARG "id=mem0,nodeset=4",
        "id=mem0,nodeset=4: Parameter 'devid' is missing",
    }, {
        "devid/empty", OBJECT_ARG "id=mem0,devid=,nodeset=4",
        MEM0 "devid: it is empty; give the id of the device's -device option",
    }, {
        "devid/unknown", OBJECT_ARG "id=mem0,devid=gpu7,nodeset=4",
        MEM0 "devid=gpu7: no device has this id; give it to the -device option "
        "of the device that is meant, or name another device",
    }, {
        /* An id is not a path, and not the id of an object either */
        "devid/object", OBJECT_ARG "id=mem0,devid=ram0,nodeset=4",
        MEM0 "devid=ram0: no device has this id; give it to the -device option "
        "of the device that is meant, or name another device",
    }, {
        "devid/not-pci",
        "-device virtio-serial-pci -device virtserialport,id=port0 "
        OBJECT_ARG "id=mem0,devid=port0,nodeset=4",
        MEM0 "devid=port0: this virtserialport is not a PCI device; "
        "give the id of a PCI device",
    }, {
        "devid/bridge",
        "-device pcie-root-port,id=rp0 "
        OBJECT_ARG "id=mem0,devid=rp0,nodeset=4",
        MEM0 "devid=rp0: this pcie-root-port is a PCI bridge; "
        "give the id of the device behind it",
    }, {
        "devid/host-bridge",
        "-device pxb-pcie,id=pxb0,bus_nr=128 "
        OBJECT_ARG "id=mem0,devid=pxb0,nodeset=4",
        MEM0 "devid=pxb0: this pxb-pcie is a PCI bridge; "
        "give the id of the device behind it",
    }, {
        /* QEMU wants a bridge there: an endpoint can't be without one */
        "devid/directly-on-pxb",
        "-device pxb-pcie,id=pxb0,bus_nr=128 "
        "-device pci-testdev,id=gpu2,bus=pxb0 "
        OBJECT_ARG "id=mem0,devid=gpu2,nodeset=4",
        "Only PCI/PCIe bridges can be plugged into pxb-pcie",
    }, {
        "devid/twice",
        GPU0_OBJECT_ARG OBJECT_ARG "id=mem1,devid=gpu0,nodeset=8",
        "is for this device too; a device takes one object, with all its nodes",
    }, {
        "nodeset/missing", OBJECT_ARG "id=mem0,devid=gpu0",
        "id=mem0,devid=gpu0: Parameter 'nodeset' is missing",
    }, {
        "nodeset/empty", "-object '{\"qom-type\":\"nvidia-gpu-mem-acpi\","
        "\"id\":\"mem0\",\"devid\":\"gpu0\",\"nodeset\":[]}'",
        MEM0 "nodeset: it is empty; name at least one node, such as nodeset=2",
    }, {
        "nodeset/nothing", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=",
        "id=mem0,devid=gpu0,nodeset=: Parameter 'nodeset' expects",
    }, {
        "nodeset/backwards", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=9-4",
        "id=mem0,devid=gpu0,nodeset=9-4: Parameter 'nodeset' expects",
    }, {
        "nodeset/half-a-range", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-",
        "id=mem0,devid=gpu0,nodeset=4-: Parameter 'nodeset' expects",
    }, {
        "nodeset/word", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=abc",
        "id=mem0,devid=gpu0,nodeset=abc: Parameter 'nodeset' expects",
    }, {
        "nodeset/negative", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=-1",
        "id=mem0,devid=gpu0,nodeset=-1: Parameter 'nodeset' expects",
    }, {
        "nodeset/no-such-node", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=8-11",
        MEM0 "nodeset=8-11: the machine has no node 10, only 0-9; "
        "add -numa node,nodeid=10 or leave it out",
    }, {
        "nodeset/beyond-qemu", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=128",
        MEM0 "nodeset: QEMU knows the nodes 0-127, not 128; "
        "take nodes that -numa node creates",
    }, {
        "nodeset/beyond-uint16", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=65536",
        MEM0 "nodeset: QEMU knows the nodes 0-127, not 65536; "
        "take nodes that -numa node creates",
    }, {
        "nodeset/memory", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=3-6",
        MEM0 "nodeset=3-6: node 3 has memory (128 MiB); "
        "take a node without mem=, memdev= or memory devices",
    }, {
        /* virt has memory hot-plug only with a firmware, and 64-bit CPUs */
        "nodeset/dimm", "-cpu cortex-a57 -m 384M,slots=1,maxmem=1G "
        "-drive if=pflash,driver=null-co,read-zeroes=on,size=64M "
        "-object memory-backend-ram,id=ram5,size=128M "
        "-device pc-dimm,memdev=ram5,node=5 "
        OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-6",
        MEM0 "nodeset=4-6: node 5 has memory (128 MiB); "
        "take a node without mem=, memdev= or memory devices",
    }, {
        "nodeset/cpus", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=2",
        MEM0 "nodeset=2: node 2 has CPUs; assign all CPUs to other nodes, "
        "with -numa node,cpus= or -numa cpu",
    }, {
        "nodeset/generic-port",
        "-object acpi-generic-port,id=gp0,pci-bus=none,node=5 "
        OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-6",
        MEM0 "nodeset=4-6: node 5 belongs to an acpi-generic-port; "
        "take another node",
    }, {
        "nodeset/hole", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-5,nodeset=7",
        MEM0 "nodeset: node 6 is missing between 4 and 7; the guest can be "
        "told only consecutive nodes, such as nodeset=4-7",
    }, {
        "nodeset/twice", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-5,nodeset=5",
        MEM0 "nodeset: node 5 is given twice; give it once",
    }, {
        "nodeset/shared",
        GPU0_OBJECT_ARG OBJECT_ARG "id=mem1,devid=gpu1,nodeset=7-8",
        "has node 7 too; give each object nodes of its own",
    }, {
        "generic-initiator/word",
        OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4,generic-initiator=maybe",
        "Parameter 'generic-initiator' does not accept value 'maybe'",
    }, {
        "generic-initiator/taken-on", INITIATOR5_ARG
        OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-6,generic-initiator=on",
        MEM0 "generic-initiator=on: node 5 belongs to an "
        "acpi-generic-initiator already; delete that object, or give "
        "generic-initiator=off",
    }, {
        "generic-initiator/taken-auto", INITIATOR5_ARG PXB1_ARGS
        OBJECT_ARG "id=mem0,devid=gpu2,nodeset=4-6,generic-initiator=auto",
        MEM0 "generic-initiator=auto: node 5 belongs to an "
        "acpi-generic-initiator already; delete that object, or give "
        "generic-initiator=off",
    }, {
        "generic-initiator/hmat-off", "-machine hmat=on "
        OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-7 " HMAT_LB_ARG("4"),
        "Invalid initiator=4, it isn't an initiator proximity domain",
    }, {
        /* The options of HMAT come before the device whose slot decides */
        "generic-initiator/hmat-auto", "-machine hmat=on "
        OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-7,generic-initiator=auto "
        HMAT_LB_ARG("4"),
        "Invalid initiator=4, it isn't an initiator proximity domain",
    }, {
        "generic-initiator/hmat-beside", "-machine hmat=on "
        OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-7,generic-initiator=on "
        HMAT_LB_ARG("8"),
        "Invalid initiator=8, it isn't an initiator proximity domain",
    }, {
        "pxm/no-such-node", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4,pxm=10",
        MEM0 "pxm=10: the machine has no node 10, only 0-9; "
        "give the node of the CPUs that the device is near to",
    }, {
        /* What it reads as where there is none is no node either */
        "pxm/unset-value", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4,pxm=128",
        MEM0 "pxm=128: the machine has no node 128, only 0-9; "
        "give the node of the CPUs that the device is near to",
    }, {
        "pxm/expander-bridge", PXB1_ARGS
        OBJECT_ARG "id=mem0,devid=gpu2,nodeset=4,pxm=0",
        MEM0 "pxm=0: device 'gpu2' is below a PCI expander bridge with "
        "numa_node=1; leave pxm out, or give both the same",
    }, {
        "pxm/word", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4,pxm=near",
        "Parameter 'pxm' expects",
    }, {
        "pxm/negative", OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4,pxm=-1",
        "Parameter 'pxm' expects",
    }
};

static void assert_refused(const char *args, const char *message)
{
    g_autofree char *output = NULL;
    int status = run_qemu(args, &output);

    if (status != 1 || !strstr(output, message)) {
        g_test_message("QEMU %s", args);
        g_test_message("ended with status %d and printed: %s", status, output);
        g_test_message("not: %s", message);
        g_test_fail();
    }
}

static void test_refused(const void *data)
{
    const RefusedCase *c = data;
    g_autofree char *args = g_strdup_printf(MACHINE_ARGS GPU_ARGS "%s",
                                            c->args);

    assert_refused(args, c->message);
}

/* A machine without NUMA nodes, or without tables that could tell the guest */
typedef struct RefusedMachine {
    const char *arch;
    RefusedCase c;
} RefusedMachine;

#define NO_TABLES(machine) \
    MEM0 "machine " machine " has no ACPI tables for it; " \
    "use virt of Arm, q35 or pc"

static const RefusedMachine refused_machines[] = {
    {
        "aarch64", {
            "no-numa", "-machine virt " GPU_ARGS,
            MEM0 "nodeset=4-7: the machine has no NUMA nodes; "
            "create them with -numa node",
        }
    }, {
        "aarch64", {
            "acpi-off", MACHINE_ARGS "-machine acpi=off " GPU_ARGS,
            "; start it with acpi=on",
        }
    }, {
        "aarch64", { "raspi3b", "-machine raspi3b ", NO_TABLES("raspi3b") }
    }, {
        "aarch64", { "none", "-machine none ", NO_TABLES("none") }
    }, {
        "x86_64", {
            "q35-no-numa", "-machine q35 " GPU_ARGS,
            MEM0 "nodeset=4-7: the machine has no NUMA nodes; "
            "create them with -numa node",
        }
    }, {
        "x86_64", {
            "q35-acpi-off", "-machine q35,acpi=off " GPU_ARGS,
            "; start it with acpi=on",
        }
    }, {
        "x86_64", {
            "pc-acpi-off", "-machine pc,acpi=off " GPU_ARGS,
            "; start it with acpi=on",
        }
    }, {
        /* It is a PC, but without PCI and tables */
        "x86_64", { "isapc", "-machine isapc ", MEM0 "machine isapc" }
    }, {
        "x86_64", { "microvm", "-machine microvm ", NO_TABLES("microvm") }
    }, {
        "x86_64", { "none", "-machine none ", NO_TABLES("none") }
    }, {
        "riscv64", { "virt", "-machine virt ", NO_TABLES("virt") }
    }, {
        /* There each node is a socket, which has CPUs */
        "riscv64", {
            "node-without-cpus", "-machine virt -smp 2 -m 128M "
            "-object memory-backend-ram,id=ram0,size=128M "
            "-numa node,memdev=ram0,cpus=0-1 -numa node " GPU_ARGS,
            "discontinuous hartids in socket1",
        }
    }, {
        "riscv64", { "spike", "-machine spike ", NO_TABLES("spike") }
    },
};

static void test_refused_machine(const void *data)
{
    const RefusedCase *c = data;
    g_autofree char *args = g_strdup_printf(
        "-accel qtest -display none -nodefaults %s " GPU0_OBJECT_ARG, c->args);

    assert_refused(args, c->message);
}

static void test_help(void)
{
    g_autofree char *output = NULL;
    int status = run_qemu(OBJECT_ARG "help", &output);

    g_assert_cmpint(status, ==, 0);
    g_assert_nonnull(strstr(output, "devid=<string>         - id of"));
    g_assert_nonnull(strstr(output, "nodeset=<int>          - Consecutive"));
    g_assert_nonnull(strstr(output, "generic-initiator=<OnOffAuto> - Make"));
    g_assert_nonnull(strstr(output, "pxm=<uint32>           - NUMA node"));
}

/* What a type of PCI device is started with in test_device_types() */
static char *device_args(const char *type, const char *object_arg)
{
    return g_strdup_printf(MACHINE_ARGS "-device %s,id=gpu0 %s", type,
                           object_arg);
}

/* Any PCI device that starts by itself can be the target, unless a bridge */
static void test_device_types(void)
{
    QTestState *qts = qtest_init("-machine none");
    g_autoptr(QDict) rsp = qtest_qmp(qts, "{'execute': 'qom-list-types', "
        "'arguments': {'implements': 'pci-device', 'abstract': false}}");
    const QListEntry *entry;
    int accepted = 0;
    int bridges = 0;

    qtest_quit(qts);
    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), entry) {
        const char *type = qdict_get_str(qobject_to(QDict, entry->value),
                                         "name");
        g_autofree char *without = device_args(type, "");
        g_autofree char *with = device_args(type, GPU0_OBJECT_ARG);
        g_autofree char *output = NULL;

        if (run_qemu(without, &output) != 0) {
            continue;
        }
        g_free(g_steal_pointer(&output));
        if (run_qemu(with, &output) == 0) {
            accepted++;
        } else if (strstr(output, "is a PCI bridge")) {
            bridges++;
        } else {
            g_error("as a target %s made QEMU print: %s", type, output);
        }
    }
    g_test_message("%d types accepted, %d bridges", accepted, bridges);
    g_assert_cmpint(accepted, >, 10);
    g_assert_cmpint(bridges, >, 3);
}

static void assert_devid(QTestState *qts, const char *id, const char *devid)
{
    g_autoptr(QDict) rsp = qtest_qmp(qts, "{'execute': 'qom-get', "
        "'arguments': {'path': %s, 'property': 'devid'}}", id);

    g_assert_cmpstr(qdict_get_str(rsp, "return"), ==, devid);
}

static void assert_nodeset(QTestState *qts, const char *id, int first, int last)
{
    g_autoptr(QDict) rsp = qtest_qmp(qts, "{'execute': 'qom-get', "
        "'arguments': {'path': %s, 'property': 'nodeset'}}", id);
    QListEntry *entry;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), entry) {
        g_assert_cmpint(qnum_get_int(qobject_to(QNum, entry->value)), ==,
                        first++);
    }
    g_assert_cmpint(first, ==, last + 1);
}

static void assert_generic_initiator(QTestState *qts, const char *id,
                                     const char *value)
{
    g_autoptr(QDict) rsp = qtest_qmp(qts, "{'execute': 'qom-get', "
        "'arguments': {'path': %s, 'property': 'generic-initiator'}}", id);

    g_assert_cmpstr(qdict_get_str(rsp, "return"), ==, value);
}

static void assert_pxm(QTestState *qts, const char *id, int node)
{
    g_autoptr(QDict) rsp = qtest_qmp(qts, "{'execute': 'qom-get', "
        "'arguments': {'path': %s, 'property': 'pxm'}}", id);

    g_assert_cmpint(qdict_get_int(rsp, "return"), ==, node);
}

/* Start with @args, whose object mem0 is for gpu0 with the nodes 4-7 */
static void test_accepted(const void *args)
{
    QTestState *qts = qtest_initf(MACHINE_ARGS "%s", (const char *)args);

    assert_devid(qts, "/objects/mem0", "gpu0");
    assert_nodeset(qts, "/objects/mem0", 4, 7);
    qtest_quit(qts);
}

static void test_two_objects(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS GPU_ARGS GPU0_OBJECT_ARG
                                 OBJECT_ARG "id=mem1,devid=gpu1,nodeset=8-9");

    assert_devid(qts, "/objects/mem1", "gpu1");
    assert_nodeset(qts, "/objects/mem1", 8, 9);
    qtest_quit(qts);
}

#define PXM_UNSET 128

static void test_defaults(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS GPU_ARGS GPU0_OBJECT_ARG);

    assert_generic_initiator(qts, "/objects/mem0", "off");
    assert_pxm(qts, "/objects/mem0", PXM_UNSET);
    qtest_quit(qts);
}

typedef struct ReadBackCase {
    const char *value;
    int pxm;
} ReadBackCase;

static void test_read_back(void)
{
    static const ReadBackCase cases[] = {
        { "on", 0 }, { "off", 1 }, { "auto", 9 },
    };

    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        QTestState *qts = qtest_initf(MACHINE_ARGS GPU_ARGS OBJECT_ARG
            "id=mem0,devid=gpu0,nodeset=4-7,generic-initiator=%s,pxm=%d",
            cases[i].value, cases[i].pxm);

        assert_generic_initiator(qts, "/objects/mem0", cases[i].value);
        assert_pxm(qts, "/objects/mem0", cases[i].pxm);
        qtest_quit(qts);
    }
}

/* What the expander bridge says already may be said again */
static void test_pxm_of_expander_bridge(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS PXB1_ARGS OBJECT_ARG
                                 "id=mem0,devid=gpu2,nodeset=4-7,pxm=1");

    assert_pxm(qts, "/objects/mem0", 1);
    qtest_quit(qts);
}

/* The node of another initiator is refused for initiators only */
/* In slot 4 auto makes no initiators, so that they may be another's */
static void test_initiator_auto_beside(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS GPU_ARGS INITIATOR5_ARG
        OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-6,generic-initiator=auto");

    assert_generic_initiator(qts, "/objects/mem0", "auto");
    qtest_quit(qts);
}

static void test_initiator_beside(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS GPU_ARGS INITIATOR5_ARG
        OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-6,generic-initiator=off "
        OBJECT_ARG "id=mem1,devid=gpu1,nodeset=7,generic-initiator=on");

    assert_generic_initiator(qts, "/objects/mem0", "off");
    assert_generic_initiator(qts, "/objects/mem1", "on");
    qtest_quit(qts);
}

/* Wherever on the command line the object is */
static void test_initiator_for_hmat(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS "-machine hmat=on " GPU_ARGS
        HMAT_LB_ARG("0") HMAT_LB_ARG("4") HMAT_LB_ARG("7")
        OBJECT_ARG "id=mem0,devid=gpu0,nodeset=4-7,generic-initiator=on");

    assert_generic_initiator(qts, "/objects/mem0", "on");
    qtest_quit(qts);
}

static QDict *object_add(QTestState *qts, const char *id, const char *devid,
                         int node)
{
    return qtest_qmp(qts, "{'execute': 'object-add', 'arguments': "
                     "{'qom-type': 'nvidia-gpu-mem-acpi', 'id': %s, "
                     "'devid': %s, 'nodeset': [%d]}}", id, devid, node);
}

static void assert_error(QDict *rsp, const char *desc)
{
    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(rsp, "error"), "desc"), ==,
                    desc);
    qobject_unref(rsp);
}

static void test_qmp_add_delete(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS GPU_ARGS);
    QDict *add_mem0 = qdict_from_jsonf_nofail(
        "{'execute': 'object-add', 'arguments': "
        "{'qom-type': 'nvidia-gpu-mem-acpi', 'id': 'mem0', "
        "'devid': 'gpu0', 'nodeset': [6, 4, 5]}}");

    /* An id and its nodes are free again when the object is gone */
    for (int i = 0; i < 2; i++) {
        qtest_qmp_assert_success(qts, "%p", qobject_ref(add_mem0));
        assert_devid(qts, "/objects/mem0", "gpu0");
        assert_nodeset(qts, "/objects/mem0", 4, 6);
        qtest_qmp_assert_success(qts, "{'execute': 'object-del', "
                                 "'arguments': {'id': 'mem0'}}");
    }
    qobject_unref(add_mem0);
    qtest_quit(qts);
}

static void test_qmp_refused(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS GPU_ARGS GPU0_OBJECT_ARG);

    assert_error(object_add(qts, "mem1", "gpu7", 8),
                 "nvidia-gpu-mem-acpi object 'mem1': devid=gpu7: no device has "
                 "this id; give it to the -device option of the device that "
                 "is meant, or name another device");
    assert_error(object_add(qts, "mem1", "gpu1", 0),
                 "nvidia-gpu-mem-acpi object 'mem1': nodeset=0: node 0 has "
                 "memory (128 MiB); take a node without mem=, memdev= or "
                 "memory devices");
    assert_error(object_add(qts, "mem1", "gpu1", 10),
                 "nvidia-gpu-mem-acpi object 'mem1': nodeset=10: the "
                 "machine has no node 10, only 0-9; add -numa node,nodeid=10 "
                 "or leave it out");
    assert_error(object_add(qts, "mem1", "gpu1", 7),
                 "nvidia-gpu-mem-acpi object 'mem1': nodeset=7: object "
                 "'mem0' has node 7 too; give each object nodes of its own");
    assert_error(object_add(qts, "mem1", "gpu0", 8),
                 "nvidia-gpu-mem-acpi object 'mem1': devid=gpu0: object 'mem0' "
                 "is for this device too; a device takes one object, with all "
                 "its nodes");

    assert_error(qtest_qmp(qts, "{'execute': 'object-add', 'arguments': "
                           "{'qom-type': 'nvidia-gpu-mem-acpi', 'id': 'mem1', "
                           "'devid': 'gpu1', 'nodeset': [8], 'pxm': 11}}"),
                 "nvidia-gpu-mem-acpi object 'mem1': pxm=11: the machine has "
                 "no node 11, only 0-9; give the node of the CPUs that the "
                 "device is near to");
    qtest_qmp_assert_success(qts, "{'execute': 'object-add', 'arguments': "
                             "{'qom-type': 'acpi-generic-initiator', "
                             "'id': 'gi0', 'pci-dev': 'gpu1', 'node': 8}}");
    assert_error(qtest_qmp(qts, "{'execute': 'object-add', 'arguments': "
                           "{'qom-type': 'nvidia-gpu-mem-acpi', 'id': 'mem1', "
                           "'devid': 'gpu1', 'nodeset': [8], "
                           "'generic-initiator': 'on'}}"),
                 "nvidia-gpu-mem-acpi object 'mem1': generic-initiator=on: "
                 "node 8 belongs to an acpi-generic-initiator already; "
                 "delete that object, or give generic-initiator=off");
    assert_error(qtest_qmp(qts, "{'execute': 'object-add', 'arguments': "
                           "{'qom-type': 'nvidia-gpu-mem-acpi', 'id': 'mem1', "
                           "'devid': 'gpu1', 'nodeset': [8], "
                           "'generic-initiator': true}}"),
                 "Invalid parameter type for 'generic-initiator', expected: "
                 "string");
    qtest_qmp_assert_success(qts, "{'execute': 'object-del', "
                             "'arguments': {'id': 'gi0'}}");

    /* Nothing of them is left, and what was there is as it was */
    qtest_qmp_assert_success(qts, "%p", qdict_from_jsonf_nofail(
        "{'execute': 'object-add', 'arguments': "
        "{'qom-type': 'nvidia-gpu-mem-acpi', 'id': 'mem1', "
        "'devid': 'gpu1', 'nodeset': [8, 9], "
        "'generic-initiator': 'auto', 'pxm': 1}}"));
    assert_nodeset(qts, "/objects/mem0", 4, 7);
    assert_generic_initiator(qts, "/objects/mem1", "auto");
    assert_pxm(qts, "/objects/mem1", 1);
    qtest_quit(qts);
}

/* Nodes and devices are there only when preconfig ends: then it fails */
static void test_preconfig_refused(void)
{
    QTestState *qts = qtest_init("--preconfig " MACHINE_ARGS GPU_ARGS);
    QDict *rsp;

    qtest_qmp_assert_success(qts, "{'execute': 'object-add', 'arguments': "
                             "{'qom-type': 'nvidia-gpu-mem-acpi', "
                             "'id': 'mem0', 'devid': 'gpu0', "
                             "'nodeset': [3, 4]}}");
    assert_error(qtest_qmp(qts, "{'execute': 'x-exit-preconfig'}"),
                 MEM0 "nodeset=3-4: node 3 has memory (128 MiB); "
                 "take a node without mem=, memdev= or memory devices");
    /* It still answers */
    rsp = qtest_qmp(qts, "{'execute': 'query-status'}");
    g_assert_false(qdict_get_bool(qdict_get_qdict(rsp, "return"), "running"));
    qobject_unref(rsp);
    qtest_quit(qts);
}

static void test_preconfig_accepted(void)
{
    QTestState *qts = qtest_init("--preconfig " MACHINE_ARGS GPU_ARGS
                                 GPU0_OBJECT_ARG);

    qtest_qmp_assert_success(qts, "{'execute': 'x-exit-preconfig'}");
    assert_nodeset(qts, "/objects/mem0", 4, 7);
    qtest_quit(qts);
}

static void test_qmp_unchangeable(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS GPU_ARGS GPU0_OBJECT_ARG);

    assert_error(qtest_qmp(qts, "{'execute': 'qom-set', 'arguments': "
                           "{'path': '/objects/mem0', 'property': 'devid', "
                           "'value': 'gpu1'}}"),
                 MEM0 "devid can't be changed; "
                 "delete the object and add a new one");
    assert_error(qtest_qmp(qts, "{'execute': 'qom-set', 'arguments': "
                           "{'path': '/objects/mem0', 'property': 'nodeset', "
                           "'value': [8]}}"),
                 MEM0 "nodeset can't be changed; "
                 "delete the object and add a new one");
    assert_error(qtest_qmp(qts, "{'execute': 'qom-set', 'arguments': "
                           "{'path': '/objects/mem0', "
                           "'property': 'generic-initiator', 'value': 'on'}}"),
                 MEM0 "generic-initiator can't be changed; "
                 "delete the object and add a new one");
    assert_error(qtest_qmp(qts, "{'execute': 'qom-set', 'arguments': "
                           "{'path': '/objects/mem0', 'property': 'pxm', "
                           "'value': 0}}"),
                 MEM0 "pxm can't be changed; "
                 "delete the object and add a new one");
    assert_devid(qts, "/objects/mem0", "gpu0");
    assert_nodeset(qts, "/objects/mem0", 4, 7);
    assert_generic_initiator(qts, "/objects/mem0", "off");
    assert_pxm(qts, "/objects/mem0", PXM_UNSET);
    qtest_quit(qts);
}

/* Is it in the output of "info numa" as a line of its own? */
static void assert_numa_device(QTestState *qts, int node, const char *devid)
{
    g_autofree char *info = qtest_hmp(qts, "info numa");
    g_autofree char *prefix = g_strdup_printf("\nnode %d device:", node);
    g_autofree char *line = g_strdup_printf("%s %s\r\n", prefix, devid);

    if (devid) {
        g_assert_nonnull(strstr(info, line));
    } else {
        g_assert_null(strstr(info, prefix));
    }
}

static void test_info_numa(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS GPU_ARGS GPU0_OBJECT_ARG
                                 OBJECT_ARG "id=mem1,devid=gpu1,nodeset=9");

    assert_numa_device(qts, 0, NULL);
    assert_numa_device(qts, 3, NULL);
    for (int node = 4; node <= 7; node++) {
        assert_numa_device(qts, node, "gpu0");
    }
    assert_numa_device(qts, 8, NULL);
    assert_numa_device(qts, 9, "gpu1");
    qtest_qmp_assert_success(qts, "{'execute': 'object-del', "
                             "'arguments': {'id': 'mem0'}}");
    assert_numa_device(qts, 4, NULL);
    assert_numa_device(qts, 9, "gpu1");
    qtest_quit(qts);
}

/* Where no object is, no line is more than there was */
static void test_info_numa_unchanged(void)
{
    QTestState *qts = qtest_init(MACHINE_ARGS GPU_ARGS);
    g_autofree char *info = qtest_hmp(qts, "info numa");
    g_auto(GStrv) lines = g_strsplit(info, "\r\n", 0);

    g_assert_cmpstr(lines[0], ==, "10 nodes");
    for (int node = 0; node < 10; node++) {
        g_autofree char *plugged =
            g_strdup_printf("node %d plugged: 0 MB", node);

        g_assert_true(g_str_has_prefix(lines[3 * node + 2], "node "));
        g_assert_cmpstr(lines[3 * node + 3], ==, plugged);
    }
    g_assert_cmpstr(lines[31], ==, "");
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    for (int i = 0; i < ARRAY_SIZE(refused_machines); i++) {
        const RefusedMachine *machine = &refused_machines[i];
        g_autofree char *path = g_strdup_printf(
            "/nvidia-gpu-mem-acpi/refused/machine/%s", machine->c.name);

        if (g_str_equal(machine->arch, qtest_get_arch())) {
            qtest_add_data_func(path, &machine->c, test_refused_machine);
        }
    }
    /* What else is here depends on no machine: one is enough */
    if (!g_str_equal(qtest_get_arch(), "aarch64")) {
        return g_test_run();
    }

    for (int i = 0; i < ARRAY_SIZE(refused_cases); i++) {
        g_autofree char *path = g_strdup_printf(
            "/nvidia-gpu-mem-acpi/refused/%s", refused_cases[i].name);

        qtest_add_data_func(path, &refused_cases[i], test_refused);
    }
    qtest_add_data_func("/nvidia-gpu-mem-acpi/accepted/before-device",
                        GPU0_OBJECT_ARG GPU_ARGS, test_accepted);
    qtest_add_data_func("/nvidia-gpu-mem-acpi/accepted/after-device",
                        GPU_ARGS GPU0_OBJECT_ARG, test_accepted);
    qtest_add_data_func("/nvidia-gpu-mem-acpi/accepted/json",
                        GPU_ARGS "-object "
                        "'{\"qom-type\":\"nvidia-gpu-mem-acpi\","
                        "\"id\":\"mem0\",\"devid\":\"gpu0\","
                        "\"nodeset\":[7,5,6,4]}'", test_accepted);
    qtest_add_func("/nvidia-gpu-mem-acpi/accepted/two-objects",
                   test_two_objects);
    qtest_add_func("/nvidia-gpu-mem-acpi/accepted/defaults", test_defaults);
    qtest_add_func("/nvidia-gpu-mem-acpi/accepted/read-back", test_read_back);
    qtest_add_func("/nvidia-gpu-mem-acpi/accepted/pxm-of-expander-bridge",
                   test_pxm_of_expander_bridge);
    qtest_add_func("/nvidia-gpu-mem-acpi/accepted/initiator-beside",
                   test_initiator_beside);
    qtest_add_func("/nvidia-gpu-mem-acpi/accepted/initiator-auto-beside",
                   test_initiator_auto_beside);
    qtest_add_func("/nvidia-gpu-mem-acpi/accepted/initiator-for-hmat",
                   test_initiator_for_hmat);
    if (g_test_slow()) {
        qtest_add_func("/nvidia-gpu-mem-acpi/accepted/device-types",
                       test_device_types);
    }
    qtest_add_func("/nvidia-gpu-mem-acpi/help", test_help);
    qtest_add_func("/nvidia-gpu-mem-acpi/qmp/add-delete", test_qmp_add_delete);
    qtest_add_func("/nvidia-gpu-mem-acpi/qmp/refused", test_qmp_refused);
    qtest_add_func("/nvidia-gpu-mem-acpi/preconfig/refused",
                   test_preconfig_refused);
    qtest_add_func("/nvidia-gpu-mem-acpi/preconfig/accepted",
                   test_preconfig_accepted);
    qtest_add_func("/nvidia-gpu-mem-acpi/qmp/unchangeable",
                   test_qmp_unchangeable);
    qtest_add_func("/nvidia-gpu-mem-acpi/info-numa/devices", test_info_numa);
    qtest_add_func("/nvidia-gpu-mem-acpi/info-numa/without-object",
                   test_info_numa_unchanged);
    return g_test_run();
}

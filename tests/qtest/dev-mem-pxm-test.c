/*
 * QTest of the dev-mem-pxm-acpi and nvidia-gpu-mem-acpi objects: their
 * properties, their errors, and how they are added and deleted
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "acpi-fw-cfg.h"
#include "acpi-numa.h"

/*
 * Nodes 0 and 1 have memory and CPUs, 2 has CPUs only, 3 memory only, 4-9 are
 * empty.  There are two devices on the root bus, gpu0 and gpu1.
 */
#define NODES                                                           \
    "-m 384M,slots=2,maxmem=4G -smp 3 "                                 \
    "-object memory-backend-ram,id=ram3,size=128M "                     \
    "-numa node,nodeid=2,cpus=2 -numa node,nodeid=3,memdev=ram3 "       \
    "-numa node,nodeid=4 -numa node,nodeid=5 -numa node,nodeid=6 "      \
    "-numa node,nodeid=7 -numa node,nodeid=8 -numa node,nodeid=9 "
#define GPUS PCI_DEVICE "id=gpu0,addr=4 " PCI_DEVICE "id=gpu1,addr=5 "
#define MACHINE NODES GPUS

#define OBJECT "-object nvidia-gpu-mem-acpi,"
#define GPU0_OBJECT OBJECT "id=mem0,devid=gpu0,nodeset=4-7 "

/* The start of an error about object mem0 */
#define MEM0 "nvidia-gpu-mem-acpi object 'mem0': "

/* virt has memory hot-plug only with firmware */
static const char *firmware_args(const NumaMachine *machine)
{
    return g_str_equal(machine->type, "virt") ?
           "-drive if=pflash,driver=null-co,read-zeroes=on,size=64M " : "";
}

static QDict *qmp_command(QTestState *qts, const char *command, QDict *args)
{
    return qtest_qmp(qts, "{'execute': %s, 'arguments': %p}", command, args);
}

/*
 * On a machine with @args, @command with arguments @json fails: by @fact, to
 * which the command line's option adds @hint.
 */
typedef struct RefusedCase {
    const char *name;
    const char *args;
    const char *json;
    const char *fact;
    const char *hint;
    const char *command;        /* %NULL: object-add of "mem0" */
} RefusedCase;

static const RefusedCase refused_cases[] = {
    {
        "devid/empty", "", "{'devid': '', 'nodeset': [4]}",
        MEM0 "devid=: there is no such device",
    }, {
        "devid/unknown", "", "{'devid': 'gpu7', 'nodeset': [4]}",
        MEM0 "devid=gpu7: there is no such device",
        "Give a -device this id.",
    }, {
        /* An id is not a path, and not the id of an object either */
        "devid/object", "", "{'devid': 'ram0', 'nodeset': [4]}",
        MEM0 "devid=ram0: there is no such device",
    }, {
        /* A failover primary is hidden at start */
        "devid/hidden",
        "-device pcie-root-port,id=rp0 -netdev hubport,id=hub0,hubid=0 "
        "-device virtio-net-pci,id=net0,netdev=hub0,failover=on,romfile= "
        "-device virtio-net-pci,id=net1,bus=rp0,failover_pair_id=net0,romfile= ",
        "{'devid': 'net1', 'nodeset': [4]}",
        MEM0 "devid=net1: there is no such device",
    }, {
        "devid/not-pci",
        "-device virtio-serial-pci -device virtserialport,id=port0 ",
        "{'devid': 'port0', 'nodeset': [4]}",
        MEM0 "devid=port0: this virtserialport is not a PCI device",
    }, {
        "devid/bridge", "-device pcie-root-port,id=rp0 ",
        "{'devid': 'rp0', 'nodeset': [4]}",
        MEM0 "devid=rp0: this pcie-root-port is a PCI bridge",
        "Give the id of the device behind it.",
    }, {
        "devid/host-bridge", "-device pxb-pcie,id=pxb0,bus_nr=128 ",
        "{'devid': 'pxb0', 'nodeset': [4]}",
        MEM0 "devid=pxb0: this pxb-pcie is a PCI bridge",
        "Give the id of the device behind it.",
    }, {
        /* The later one is wrong, wherever its nodes are */
        "devid/twice", OBJECT "id=mem1,devid=gpu0,nodeset=8-9 ",
        "{'devid': 'gpu0', 'nodeset': [4]}",
        MEM0 "devid=gpu0: object 'mem1' is for this device too",
        "Give one object all nodes.",
    }, {
        "nodeset/empty", "", "{'devid': 'gpu0', 'nodeset': []}",
        MEM0 "nodeset: it is empty",
        "Name at least one node.",
    }, {
        "nodeset/beyond-qemu", "", "{'devid': 'gpu0', 'nodeset': [128]}",
        "nodeset: QEMU knows the nodes 0-127, not 128",
    }, {
        "nodeset/beyond-uint16", "", "{'devid': 'gpu0', 'nodeset': [65536]}",
        "nodeset: QEMU knows the nodes 0-127, not 65536",
    }, {
        "nodeset/hole", "", "{'devid': 'gpu0', 'nodeset': [4, 5, 7]}",
        MEM0 "nodeset: node 6 is missing between 4 and 7",
        "Give consecutive nodes.",
    }, {
        "nodeset/no-such-node", "",
        "{'devid': 'gpu0', 'nodeset': [8, 9, 10, 11]}",
        MEM0 "nodeset: the machine has no node 10",
        "Add -numa node,nodeid=10.",
    }, {
        "nodeset/memory", "", "{'devid': 'gpu0', 'nodeset': [3, 4, 5, 6]}",
        MEM0 "nodeset: node 3 has memory (128 MiB)",
        "Take a node without mem= or memdev=.",
    }, {
        "nodeset/cpus", "", "{'devid': 'gpu0', 'nodeset': [2]}",
        MEM0 "nodeset: node 2 has CPUs",
        "Assign all CPUs to other nodes.",
    }, {
        "nodeset/shared", OBJECT "id=mem1,devid=gpu1,nodeset=7-8 ",
        "{'devid': 'gpu0', 'nodeset': [6, 7]}",
        MEM0 "nodeset: object 'mem1' has node 7 too",
        "Give each object nodes of its own.",
    },
};

static void test_refused(const void *data)
{
    const NumaCase *c = data;
    const RefusedCase *refused = c->row;
    const char *command = refused->command ?: "object-add";
    QDict *json = qobject_to(QDict, qobject_from_json(refused->json,
                                                      &error_abort));
    g_autoptr(GString) option = NULL;
    g_autofree char *message = g_strdup_printf(refused->hint ? "%s\n%s\n" :
                                               "%s\n", refused->fact,
                                               refused->hint);
    g_autofree char *args = NULL;
    QTestState *qts;

    if (!refused->command) {
        qdict_put_str(json, "qom-type", "nvidia-gpu-mem-acpi");
        qdict_put_str(json, "id", "mem0");
    }
    option = qobject_to_json(QOBJECT(json));
    args = numa_args(c->machine, MACHINE "%s %s %s '%s'",
                     firmware_args(c->machine), refused->args,
                     g_str_equal(command, "device_add") ? "-device" :
                     "-object", option->str);
    assert_refused(args, message);

    qts = numa_start(c->machine, MACHINE "%s %s", firmware_args(c->machine),
                     refused->args);
    for (int i = 0; i < 2; i++) {
        assert_qmp_error(qmp_command(qts, command, qobject_ref(json)),
                         refused->fact);
    }
    qtest_quit(qts);
    qobject_unref(json);
}

static void add_refused_cases(const NumaMachine *machine,
                              const RefusedCase *cases, int n)
{
    for (int i = 0; i < n; i++) {
        numa_add_case(machine, "dev-mem-pxm-refused", cases[i].name,
                      test_refused, &cases[i]);
    }
}

/* A machine without NUMA nodes, or without tables that could tell the guest */
typedef struct MachineCase {
    const char *arch;
    const char *name;
    const char *type;
    const char *args;
    const char *message;        /* %NULL: it does not support the object */
} MachineCase;

#define ACPI_OFF                                                        \
    " has been started with acpi=off\nStart it with acpi=on.\n"
#define NO_NODE                                                         \
    MEM0 "nodeset: the machine has no node 4\n"                         \
    "Add -numa node,nodeid=4.\n"

static const MachineCase machine_cases[] = {
    { "aarch64", "no-numa", "virt", " " GPUS, NO_NODE },
    { "aarch64", "acpi-off", "virt", ",acpi=off " GPUS, ACPI_OFF },
    { "aarch64", "raspi3b", "raspi3b", "", NULL },
    { "aarch64", "none", "none", "", NULL },
    { "loongarch64", "virt", "virt", "", NULL },
    { "loongarch64", "none", "none", "", NULL },
    { "x86_64", "q35-no-numa", "q35", " " GPUS, NO_NODE },
    { "x86_64", "q35-acpi-off", "q35", ",acpi=off " GPUS, ACPI_OFF },
    { "x86_64", "pc-acpi-off", "pc", ",acpi=off " GPUS, ACPI_OFF },
    /* It is a PC, but without PCI and tables */
    { "x86_64", "isapc", "isapc", "",
      MEM0 "machine isapc builds no ACPI tables\n" },
    { "x86_64", "microvm", "microvm", "", NULL },
};

static void test_machine(const void *data)
{
    const MachineCase *c = data;
    g_autofree char *args = g_strdup_printf(
        "-accel qtest -display none -nodefaults -machine %s%s " GPU0_OBJECT,
        c->type, c->args);
    g_autofree char *name = qtest_resolve_machine_alias(NULL, c->type);
    g_autofree char *unsupported = g_strdup_printf(
        MEM0 "machine %s does not support this object\n", name ?: c->type);

    assert_refused(args, c->message ?: unsupported);
}

/* A kernel that is started without firmware is never given ACPI tables */
static void test_kernel(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    static const char kernel[4096];
    g_autofree char *file = numa_tmp_file();
    g_autofree char *args = NULL;
    QTestState *qts;

    g_assert_true(g_file_set_contents(file, kernel, sizeof(kernel), NULL));
    args = numa_args(machine, MACHINE GPU0_OBJECT "-kernel %s", file);
    assert_refused(args, MEM0 "-kernel without firmware gets no ACPI tables\n"
                   "Add firmware, by -bios or a pflash drive.\n");

    qts = numa_start(machine, MACHINE GPU0_OBJECT "-kernel %s %s", file,
                     firmware_args(machine));
    qtest_quit(qts);
    unlink(file);
}

/* Any PCI device that starts by itself can be the target, unless a bridge */
static void test_device_types(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
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
        g_autofree char *without = numa_args(machine, NODES
                                             "-device %s,id=gpu0", type);
        g_autofree char *with = g_strdup_printf("%s " GPU0_OBJECT, without);
        g_autofree char *output = NULL;
        g_autofree char *output_without = NULL;

        if (numa_run(with, &output) == 0) {
            accepted++;
        } else if (strstr(output, "is a PCI bridge")) {
            bridges++;
        } else if (numa_run(without, &output_without) == 0) {
            g_error("as a target %s made QEMU print: %s", type, output);
        }
    }
    g_test_message("%d types accepted, %d bridges", accepted, bridges);
    g_assert_cmpint(accepted, >, 10);
    g_assert_cmpint(bridges, >, 3);
}

/* Object @id has this property, its value in the form of JSON */
static void assert_property(QTestState *qts, const char *id,
                            const char *property, const char *value)
{
    g_autofree char *path = g_strdup_printf("/objects/%s", id);
    g_autoptr(QDict) rsp = qtest_qmp(qts, "{'execute': 'qom-get', "
        "'arguments': {'path': %s, 'property': %s}}", path, property);
    g_autoptr(GString) json = NULL;

    g_assert_true(qdict_haskey(rsp, "return"));
    json = qobject_to_json(qdict_get(rsp, "return"));
    g_assert_cmpstr(json->str, ==, value);
}

/* A command line with an object mem0, and a property of it */
typedef struct AcceptedCase {
    const char *name;
    const char *args;
    const char *property;
    const char *value;
} AcceptedCase;

static const AcceptedCase accepted_cases[] = {
    {
        "before-device", GPU0_OBJECT GPUS, "devid", "\"gpu0\"",
    }, {
        "after-device", GPUS GPU0_OBJECT, "nodeset", "[4, 5, 6, 7]",
    }, {
        "json", GPUS "-object '{\"qom-type\":\"nvidia-gpu-mem-acpi\","
        "\"id\":\"mem0\",\"devid\":\"gpu0\",\"nodeset\":[7,5,6,4]}'",
        "nodeset", "[4, 5, 6, 7]",
    }, {
        "two-objects", GPUS OBJECT "id=mem1,devid=gpu1,nodeset=8-9 "
        GPU0_OBJECT, "nodeset", "[4, 5, 6, 7]",
    }, {
        "initiator-before", GPUS INITIATOR "id=gi0,pci-dev=gpu1,node=5 "
        OBJECT "id=mem0,devid=gpu0,nodeset=4-6", "nodeset", "[4, 5, 6]",
    }, {
        "initiator-after", GPUS OBJECT "id=mem0,devid=gpu0,nodeset=4-6 "
        INITIATOR "id=gi0,pci-dev=gpu1,node=5 ", "nodeset", "[4, 5, 6]",
    },
};

static void test_accepted(const void *data)
{
    const NumaCase *c = data;
    const AcceptedCase *accepted = c->row;
    QTestState *qts = numa_start(c->machine, NODES "%s", accepted->args);

    assert_property(qts, "mem0", accepted->property, accepted->value);
    qtest_quit(qts);
}

static void add_accepted_cases(const NumaMachine *machine,
                               const AcceptedCase *cases, int n)
{
    for (int i = 0; i < n; i++) {
        numa_add_case(machine, "dev-mem-pxm-accepted", cases[i].name,
                      test_accepted, &cases[i]);
    }
}

static QDict *object_add(QTestState *qts, const char *id, const char *devid,
                         int node)
{
    return qtest_qmp(qts, "{'execute': 'object-add', 'arguments': "
                     "{'qom-type': 'nvidia-gpu-mem-acpi', 'id': %s, "
                     "'devid': %s, 'nodeset': [%d, %d]}}", id, devid, node + 1,
                     node);
}

static void object_added(QTestState *qts, const char *id, const char *devid,
                         int node)
{
    QDict *rsp = object_add(qts, id, devid, node);

    g_assert_true(qdict_haskey(rsp, "return"));
    qobject_unref(rsp);
}

static void test_add_delete(const void *data)
{
    QTestState *qts = numa_start(((const NumaCase *)data)->machine, MACHINE);

    /* An id and its nodes are free again when the object is gone */
    for (int i = 0; i < 2; i++) {
        object_added(qts, "mem0", "gpu0", 4);
        assert_property(qts, "mem0", "nodeset", "[4, 5]");
        numa_object_del(qts, "mem0");
    }
    qtest_quit(qts);
}

/* What is refused leaves nothing behind, and what was there is as it was */
static void test_refused_and_added(const void *data)
{
    QTestState *qts = numa_start(((const NumaCase *)data)->machine,
                                 MACHINE GPU0_OBJECT);

    qobject_unref(object_add(qts, "mem1", "gpu7", 8));
    qobject_unref(object_add(qts, "mem1", "gpu1", 7));
    object_added(qts, "mem1", "gpu1", 8);
    assert_property(qts, "mem0", "nodeset", "[4, 5, 6, 7]");
    assert_property(qts, "mem1", "nodeset", "[8, 9]");
    qtest_quit(qts);
}

/* The error is that of the object that is wrong, whichever else is added */
static void test_preconfig_refused(const void *data)
{
    QTestState *qts = numa_start(((const NumaCase *)data)->machine,
                                 "--preconfig " MACHINE);

    object_added(qts, "mem0", "gpu0", 3);
    assert_qmp_error(qtest_qmp(qts, "{'execute': 'x-exit-preconfig'}"),
                     MEM0 "nodeset: node 3 has memory (128 MiB)");
    object_added(qts, "mem1", "gpu1", 8);
    assert_property(qts, "mem1", "devid", "\"gpu1\"");
    qtest_quit(qts);
}

static void test_preconfig_accepted(const void *data)
{
    QTestState *qts = numa_start(((const NumaCase *)data)->machine,
                                 "--preconfig " MACHINE GPU0_OBJECT);

    qtest_qmp_assert_success(qts, "{'execute': 'x-exit-preconfig'}");
    assert_property(qts, "mem0", "devid", "\"gpu0\"");
    qtest_quit(qts);
}

/* Properties, and other values for them in the form of JSON */
static const char *const unchangeable[][2] = {
    { "devid", "'gpu1'" },
    { "nodeset", "[8]" },
    { "generic-initiator", "true" },
    { "egm-node", "0" },
};

static void test_unchangeable(const void *data)
{
    QTestState *qts = numa_start(((const NumaCase *)data)->machine,
                                 MACHINE GPU0_OBJECT);

    for (int i = 0; i < ARRAY_SIZE(unchangeable); i++) {
        g_autofree char *message = g_strdup_printf(
            "cannot change property '%s' of nvidia-gpu-mem-acpi",
            unchangeable[i][0]);

        assert_qmp_error(qtest_qmp(qts, "{'execute': 'qom-set', 'arguments': "
                                   "{'path': '/objects/mem0', 'property': %s, "
                                   "'value': %p}}", unchangeable[i][0],
                                   qobject_from_json(unchangeable[i][1],
                                                     &error_abort)), message);
    }
    assert_property(qts, "mem0", "devid", "\"gpu0\"");
    assert_property(qts, "mem0", "nodeset", "[4, 5, 6, 7]");
    qtest_quit(qts);
}

/* Has the DSDT the _DSD of an object? */
static bool has_dsd(QTestState *qts)
{
    static const char name[] = "dev-mem-pxm-start";
    g_autoptr(GByteArray) dsdt = acpi_fw_cfg_read(qts, "DSDT");

    for (int i = 0; i + sizeof(name) <= dsdt->len; i++) {
        if (!memcmp(dsdt->data + i, name, sizeof(name))) {
            return true;
        }
    }
    return false;
}

#define GONE                                                            \
    "nvidia-gpu-mem-acpi object 'mem0' is without effect: devid=gpu0: " \
    "there is no such device\n"

/* Also where the guest goes on that had its GPU unplugged */
static void test_unplugged(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    g_autofree char *state = numa_tmp_file();
    g_autofree char *from_log = numa_tmp_file();
    g_autofree char *to_log = numa_tmp_file();
    g_autofree char *gpu0 = numa_slot_device(machine, "gpu0");
    QTestState *qts = numa_start(machine, NODES GPU0_OBJECT "%s %s 2>%s",
                                 machine->slot_args, gpu0, from_log);

    g_assert_true(has_dsd(qts));
    numa_unplug(machine, qts, "gpu0");
    qtest_system_reset(qts);
    g_assert_false(has_dsd(qts));
    numa_save(qts, state);
    qtest_quit(qts);
    assert_log(from_log, GONE, 1);

    qts = numa_start(machine, NODES GPU0_OBJECT "%s -incoming file:%s 2>%s",
                     machine->slot_args, state, to_log);
    numa_wait_running(qts);
    qtest_system_reset(qts);
    g_assert_false(has_dsd(qts));
    numa_plug(machine, qts, "gpu0");
    qtest_system_reset(qts);
    g_assert_true(has_dsd(qts));
    qtest_quit(qts);
    assert_log(to_log, GONE, 1);
    unlink(state);
}

/* Safety: what is kept out of an object's nodes */

static const RefusedCase safety_cases[] = {
    {
        "owned/port", GPU0_OBJECT,
        "{'qom-type': 'acpi-generic-port', 'id': 'gp0', "
        "'pci-bus': 'none', 'node': 7}",
        "acpi-generic-port object 'gp0': node=7: object 'mem0' has this node "
        "for the memory of its device",
        "Take another node.", "object-add",
    }, {
        "owned/dimm", GPU0_OBJECT
        "-object memory-backend-ram,id=ram5,size=128M ",
        "{'driver': 'pc-dimm', 'id': 'dimm0', 'memdev': 'ram5', 'node': 4}",
        "node=4: object 'mem0' has this node for the memory of its device",
        "Take another node.", "device_add",
    }, {
        "owned/virtio-mem", GPU0_OBJECT
        "-device pcie-root-port,id=port0 "
        "-object memory-backend-ram,id=ram5,size=128M ",
        "{'driver': 'virtio-mem-pci', 'id': 'vmem0', 'memdev': 'ram5', "
        "'bus': 'port0', 'node': 7, 'requested-size': 0}",
        "node=7: object 'mem0' has this node for the memory of its device",
        "Take another node.", "device_add",
    },
};

static const RefusedCase port_case = {
    "nodeset/port", "-machine cxl=on -device pxb-cxl,id=cxl0,bus_nr=12 "
    "-object acpi-generic-port,id=gp0,pci-bus=cxl0,node=5 ",
    "{'devid': 'gpu0', 'nodeset': [4, 5]}",
    MEM0 "nodeset: node 5 belongs to an acpi-generic-port",
    "Take another node.",
};

/* What a guest does that lets slot 0 of the ACPI memory hot-plug go */
static void eject_dimm(QTestState *qts)
{
    if (g_str_equal(qtest_get_arch(), "x86_64")) {
        qtest_outl(qts, 0xa00, 0);
        qtest_outb(qts, 0xa14, 1 << 3);
    } else {
        qtest_writel(qts, 0x09070000, 0);
        qtest_writeb(qts, 0x09070014, 1 << 3);
    }
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
}

/* On the command line, devices come after objects, and are what is refused */
static void test_memory_device_first(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    QTestState *qts = numa_start(machine, MACHINE "%s"
        "-object memory-backend-ram,id=ram5,size=128M "
        "-object memory-backend-ram,id=ram8,size=128M "
        "-device pc-dimm,id=dimm0,memdev=ram5,node=5 "
        "-device virtio-mem-pci,memdev=ram8,node=8,requested-size=0",
        firmware_args(machine));

    assert_qmp_error(object_add(qts, "mem0", "gpu0", 8),
                     MEM0 "nodeset: node 8 has a memory device");
    assert_qmp_error(object_add(qts, "mem0", "gpu0", 5),
                     MEM0 "nodeset: node 5 has a memory device");
    qtest_qmp_device_del_send(qts, "dimm0");
    eject_dimm(qts);
    object_added(qts, "mem0", "gpu0", 5);
    qtest_quit(qts);
}

/* An sp-mem can't be hot-plugged, so QEMU refuses it at start */
static void test_sp_mem(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    const char *sp_mem = MACHINE
        "-object memory-backend-ram,id=ram5,size=128M "
        "-device sp-mem,id=sp0,memdev=ram5,node=5 ";
    g_autofree char *args = numa_args(machine, "%s" GPU0_OBJECT, sp_mem);
    QTestState *qts = numa_start(machine, "%s", sp_mem);

    assert_refused(args, "node=5: object 'mem0' has this node for the memory "
                   "of its device\nTake another node.\n");
    assert_qmp_error(object_add(qts, "mem0", "gpu0", 5),
                     MEM0 "nodeset: node 5 has a memory device");
    object_added(qts, "mem0", "gpu0", 6);
    qtest_quit(qts);
}

/* The lines of "info numa" about devices are @expected */
static void assert_info_numa(QTestState *qts, const char *expected)
{
    g_autofree char *info = qtest_hmp(qts, "info numa");
    g_auto(GStrv) lines = g_strsplit(info, "\r\n", 0);
    g_autoptr(GString) found = g_string_new("");

    g_assert_cmpstr(lines[0], ==, "10 nodes");
    for (int i = 0; lines[i]; i++) {
        if (strstr(lines[i], "device")) {
            g_string_append_printf(found, "%s\n", lines[i]);
        }
    }
    g_assert_cmpstr(found->str, ==, expected);
}

static void test_info_numa(const void *data)
{
    QTestState *qts = numa_start(((const NumaCase *)data)->machine, MACHINE
                                 OBJECT "id=mem0,devid=gpu0,nodeset=4-5 "
                                 OBJECT "id=mem1,devid=gpu1,nodeset=9");

    assert_info_numa(qts, "node 4 device: gpu0\nnode 5 device: gpu0\n"
                     "node 9 device: gpu1\n");
    numa_object_del(qts, "mem0");
    assert_info_numa(qts, "node 9 device: gpu1\n");
    numa_object_del(qts, "mem1");
    assert_info_numa(qts, "");
    qtest_quit(qts);
}

/* Initiators: generic-initiator=on, and the type for any vendor */

#define HMAT_LB(initiator)                                              \
    "-machine hmat=on -numa hmat-lb,initiator=" initiator ",target=0,"  \
    "hierarchy=memory,data-type=access-latency,latency=10 "

static const RefusedCase initiator_refused_cases[] = {
    {
        "devid/twice/general",
        "-object dev-mem-pxm-acpi,id=mem1,devid=gpu0,nodeset=4-7 ",
        "{'devid': 'gpu0', 'nodeset': [8]}",
        MEM0 "devid=gpu0: object 'mem1' is for this device too",
    }, {
        "initiator/taken", INITIATOR "id=gi0,pci-dev=gpu1,node=5 ",
        "{'devid': 'gpu0', 'nodeset': [4, 5, 6], 'generic-initiator': true}",
        MEM0 "generic-initiator=on: node 5 belongs to an "
        "acpi-generic-initiator already",
        "Delete that object, or give generic-initiator=off.",
    }, {
        /* Such a node has no room for another */
        "owned/initiator",
        OBJECT "id=mem0,devid=gpu0,nodeset=4-7,generic-initiator=on ",
        "{'qom-type': 'acpi-generic-initiator', 'id': 'gi0', "
        "'pci-dev': 'gpu1', 'node': 5}",
        "acpi-generic-initiator object 'gi0': node=5: object 'mem0' has this "
        "node for the memory of its device",
        "Take another node.", "object-add",
    },
};

static const AcceptedCase initiator_accepted_cases[] = {
    {
        "initiator-off", GPU0_OBJECT GPUS, "generic-initiator", "false",
    }, {
        "general", GPUS "-object dev-mem-pxm-acpi,id=mem0,devid=gpu1,"
        "nodeset=9,generic-initiator=on", "generic-initiator", "true",
    }, {
        "initiator-beside", GPUS INITIATOR "id=gi0,pci-dev=gpu1,node=7 "
        OBJECT "id=mem0,devid=gpu0,nodeset=4-6,generic-initiator=on",
        "generic-initiator", "true",
    }, {
        /* Wherever on the command line the object is */
        "initiator-for-hmat", GPUS HMAT_LB("4") HMAT_LB("6")
        OBJECT "id=mem0,devid=gpu0,nodeset=4-6,generic-initiator=on",
        "generic-initiator", "true",
    },
};

/* -numa hmat-lb refuses a node that is no initiator */
static void test_hmat(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    g_autofree char *off = numa_args(machine, MACHINE GPU0_OBJECT HMAT_LB("4"));
    g_autofree char *beside = numa_args(machine, MACHINE OBJECT
        "id=mem0,devid=gpu0,nodeset=4-7,generic-initiator=on " HMAT_LB("8"));

    assert_refused(off, "Invalid initiator=4, it isn't an initiator proximity "
                   "domain");
    assert_refused(beside, "Invalid initiator=8, it isn't an initiator "
                   "proximity domain");
}

/* Extended GPU Memory */

static const RefusedCase egm_cases[] = {
    {
        "egm/no-such-node", "",
        "{'devid': 'gpu0', 'nodeset': [4], 'egm-node': 10}",
        MEM0 "egm-node=10: there is no such node with memory",
        "Take a node with memdev=.",
    }, {
        "egm/beyond-qemu", "",
        "{'devid': 'gpu0', 'nodeset': [4], 'egm-node': 128}",
        MEM0 "egm-node=128: there is no such node with memory",
    }, {
        "egm/no-memory", "",
        "{'devid': 'gpu0', 'nodeset': [4], 'egm-node': 2}",
        MEM0 "egm-node=2: there is no such node with memory",
    }, {
        "egm/own-node", "",
        "{'devid': 'gpu0', 'nodeset': [4, 5], 'egm-node': 5}",
        MEM0 "egm-node=5: there is no such node with memory",
    }, {
        "egm/node-of-other", OBJECT "id=mem1,devid=gpu1,nodeset=7-8 ",
        "{'devid': 'gpu0', 'nodeset': [4], 'egm-node': 8}",
        MEM0 "egm-node=8: there is no such node with memory",
    }, {
        /* Not all memory of the node would be Extended GPU Memory */
        "egm/dimm",
        OBJECT "id=mem1,devid=gpu1,nodeset=7-8,egm-node=3 "
        OBJECT "id=mem0,devid=gpu0,nodeset=4,egm-node=3 "
        "-object memory-backend-ram,id=ram5,size=128M ",
        "{'driver': 'pc-dimm', 'id': 'dimm0', 'memdev': 'ram5', 'node': 3}",
        "node=3: an object with egm-node=3 allows no memory devices in this "
        "node",
        "Take another node.", "device_add",
    },
};

static const RefusedCase egm_case_of_pcs = {
    "egm/machine", "", "{'devid': 'gpu0', 'nodeset': [4], 'egm-node': 0}",
    MEM0 "egm-node=0: this machine can have the memory of a node in several "
    "pieces",
    "Leave egm-node out.",
};

/* Several objects may name one node */
static const AcceptedCase egm_accepted_case = {
    "egm-node", GPUS
    OBJECT "id=mem0,devid=gpu0,nodeset=4-5,egm-node=3 "
    OBJECT "id=mem1,devid=gpu1,nodeset=6-7,egm-node=3 ", "egm-node", "3",
};

/* A memory device comes and goes before the object, and after it */
static void test_egm_memory_device(const void *data)
{
    static const char add[] = "{'execute': 'object-add', 'arguments': "
        "{'qom-type': 'nvidia-gpu-mem-acpi', 'id': 'mem0', 'devid': 'gpu0', "
        "'nodeset': [4], 'egm-node': 3}}";
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    QTestState *qts = numa_start(machine, MACHINE "%s"
        "-object memory-backend-ram,id=ram5,size=128M "
        "-device pc-dimm,id=dimm0,memdev=ram5,node=3", firmware_args(machine));

    assert_qmp_error(qtest_qmp(qts, add),
                     MEM0 "egm-node=3: this node has a memory device");
    qtest_qmp_device_del_send(qts, "dimm0");
    eject_dimm(qts);
    qtest_qmp_assert_success(qts, add);
    numa_object_del(qts, "mem0");
    qtest_qmp_assert_success(qts, "{'execute': 'device_add', 'arguments': "
                             "{'driver': 'pc-dimm', 'id': 'dimm0', "
                             "'memdev': 'ram5', 'node': 3}}");
    qtest_quit(qts);
}

static void add_egm_tests(const NumaMachine *machine)
{
    if (!g_str_equal(machine->type, "virt")) {
        add_refused_cases(machine, &egm_case_of_pcs, 1);
        return;
    }
    add_refused_cases(machine, egm_cases, ARRAY_SIZE(egm_cases));
    add_accepted_cases(machine, &egm_accepted_case, 1);
    numa_add_case(machine, "dev-mem-pxm", "egm-memory-device",
                  test_egm_memory_device, NULL);
}

static void add_tests(const NumaMachine *machine)
{
    const char *prefix = "dev-mem-pxm";

    add_refused_cases(machine, refused_cases, ARRAY_SIZE(refused_cases));
    add_accepted_cases(machine, accepted_cases, ARRAY_SIZE(accepted_cases));
    numa_add_case(machine, prefix, "add-delete", test_add_delete, NULL);
    numa_add_case(machine, prefix, "refused-and-added", test_refused_and_added,
                  NULL);
    numa_add_case(machine, prefix, "preconfig/refused", test_preconfig_refused,
                  NULL);
    numa_add_case(machine, prefix, "preconfig/accepted",
                  test_preconfig_accepted, NULL);
    numa_add_case(machine, prefix, "unchangeable", test_unchangeable, NULL);
    numa_add_case(machine, prefix, "unplugged", test_unplugged, NULL);
    if (g_str_equal(machine->type, "virt")) {
        numa_add_case(machine, prefix, "kernel", test_kernel, NULL);
    }
    if (g_test_slow()) {
        numa_add_case(machine, prefix, "device-types", test_device_types, NULL);
    }

    add_refused_cases(machine, safety_cases, ARRAY_SIZE(safety_cases));
    if (numa_has_cxl(machine)) {
        add_refused_cases(machine, &port_case, 1);
    }
    numa_add_case(machine, prefix, "memory-device-first",
                  test_memory_device_first, NULL);
    if (qtest_has_device("sp-mem")) {
        numa_add_case(machine, prefix, "sp-mem", test_sp_mem, NULL);
    }
    numa_add_case(machine, prefix, "info-numa", test_info_numa, NULL);

    add_refused_cases(machine, initiator_refused_cases,
                      ARRAY_SIZE(initiator_refused_cases));
    add_accepted_cases(machine, initiator_accepted_cases,
                       ARRAY_SIZE(initiator_accepted_cases));
    numa_add_case(machine, prefix, "hmat", test_hmat, NULL);

    add_egm_tests(machine);
}

int main(int argc, char **argv)
{
    const NumaMachine *machine;

    g_test_init(&argc, &argv, NULL);
    for (int i = 0; i < ARRAY_SIZE(machine_cases); i++) {
        const MachineCase *c = &machine_cases[i];
        g_autofree char *path = g_strdup_printf("/dev-mem-pxm-machine/%s",
                                                c->name);

        if (g_str_equal(c->arch, qtest_get_arch()) &&
            qtest_has_machine(c->type)) {
            qtest_add_data_func(path, c, test_machine);
        }
    }
    /* What else is here depends on no machine: one is enough */
    machine = numa_next_machine(NULL);
    if (machine && !g_str_equal(machine->arch, "loongarch64")) {
        add_tests(machine);
    }
    return g_test_run();
}

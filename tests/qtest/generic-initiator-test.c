/*
 * QTest of the acpi-generic-initiator and acpi-generic-port objects: their
 * entries in SRAT and HMAT, their errors, and what happens while a VM runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "acpi-numa.h"

#define DEVICES                                                         \
    PCI_DEVICE "id=dev0,addr=4 " PCI_DEVICE "id=dev1,addr=5 "

/* A CXL host bridge, whose _UID is its bus number */
#define CXL_ARGS                                                        \
    "-machine cxl=on -device pxb-cxl,id=cxl0,bus=pcie.0,bus_nr=12 "
#define PORT "-object acpi-generic-port,"

static QDict *object_add(QTestState *qts, const char *type, const char *id,
                         const char *of, const char *name, int node)
{
    QDict *args = qdict_new();

    qdict_put_str(args, "qom-type", type);
    qdict_put_str(args, "id", id);
    qdict_put_str(args, of, name);
    qdict_put_int(args, "node", node);
    return qtest_qmp(qts, "{'execute': 'object-add', 'arguments': %p}", args);
}

static void initiator_add(QTestState *qts, const char *id, const char *dev,
                          int node)
{
    QDict *rsp = object_add(qts, "acpi-generic-initiator", id, "pci-dev", dev,
                            node);

    g_assert_true(qdict_haskey(rsp, "return"));
    qobject_unref(rsp);
}

typedef struct OrderCase {
    const char *name;
    bool cxl;
    const char *args;
    const char *expected;
} OrderCase;

static const OrderCase order_cases[] = {
    {
        "none", false, "", "",
    }, {
        "descending", false,
        INITIATOR "id=gi0,pci-dev=dev0,node=9 "
        INITIATOR "id=gi1,pci-dev=dev0,node=6 "
        INITIATOR "id=gi2,pci-dev=dev0,node=5 ",
        "gi5-6@00:20 gi9@00:20",
    }, {
        "two-devices", false,
        INITIATOR "id=b,pci-dev=dev1,node=2 "
        INITIATOR "id=a,pci-dev=dev0,node=3 "
        INITIATOR "id=c,pci-dev=dev1,node=4 ",
        "gi2@00:28 gi3@00:20 gi4@00:28",
    }, {
        "one-node", false,
        INITIATOR "id=b,pci-dev=dev1,node=4 "
        INITIATOR "id=a,pci-dev=dev0,node=4 "
        INITIATOR "id=c,pci-dev=dev0,node=2 ",
        "gi2@00:20 gi4@00:28 gi4@00:20",
    }, {
        "node-with-cpu", false,
        INITIATOR "id=gi0,pci-dev=dev0,node=1 ",
        "gi1@00:20",
    }, {
        "ports", true,
        PORT "id=gp1,pci-bus=cxl0,node=4 "
        PORT "id=gp0,pci-bus=cxl0,node=7 "
        INITIATOR "id=gi1,pci-dev=dev0,node=6 "
        INITIATOR "id=gi0,pci-dev=dev1,node=4 "
        INITIATOR "id=gi2,pci-dev=dev0,node=2 ",
        "gi2@00:20 gi4@00:28 gp4@c gi6@00:20 gp7@c",
    },
};

static void test_order(const void *data)
{
    const NumaCase *c = data;
    const OrderCase *order = c->row;
    QTestState *qts = numa_start(c->machine, EMPTY_ARGS DEVICES "%s %s",
                                 order->cxl ? CXL_ARGS : "", order->args);

    assert_srat_generic(qts, order->expected);
    qtest_quit(qts);
}

/* Objects named as libvirt does: their hash has another order */
static void test_libvirt_names(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    g_autoptr(GString) args = g_string_new(DEVICES);
    QTestState *qts;

    for (int i = 0; i < 16; i++) {
        g_string_append_printf(args, "-numa node,nodeid=%d " INITIATOR
                               "id=gi%d,pci-dev=dev%d,node=%d ", i + 2, i,
                               i / 8, i + 2);
    }
    qts = numa_start(machine, "%s", args->str);
    assert_srat_generic(qts, "gi2-9@00:20 gi10-17@00:28");
    qtest_quit(qts);
}

/* An object that can't be, neither on the command line nor through QMP */
typedef struct RefusedCase {
    const char *name;
    bool cxl;
    const char *type;
    const char *of;
    const char *of_id;
    int node;
    const char *fact;
} RefusedCase;

#define GI "acpi-generic-initiator", "pci-dev"
#define GP "acpi-generic-port", "pci-bus"

static const RefusedCase refused_cases[] = {
    {
        "node-of-no-qemu", false, GI, "dev0", 200,
        "node=200: QEMU knows the nodes 0-127",
    }, {
        "no-such-node", false, GI, "dev0", 12,
        "node=12: there is no such NUMA node",
    }, {
        "no-name", false, GI, "", 5, "pci-dev=: there is no such pci-device",
    }, {
        "no-such-device", false, GI, "gpu7", 5,
        "pci-dev=gpu7: there is no such pci-device",
    }, {
        "no-pci-device", false, GI, "ram0", 5,
        "pci-dev=ram0: there is no such pci-device",
    }, {
        "port/node-of-no-qemu", false, GP, "none", 200,
        "node=200: QEMU knows the nodes 0-127",
    }, {
        "port/no-such-node", true, GP, "cxl0", 12,
        "node=12: there is no such NUMA node",
    }, {
        "port/no-such-bus", false, GP, "none", 5,
        "pci-bus=none: there is no such pxb-cxl-bus",
    }, {
        "port/no-name", true, GP, "", 5,
        "pci-bus=: there is no such pxb-cxl-bus",
    }, {
        "port/device", false, GP, "dev0", 5,
        "pci-bus=dev0: there is no such pxb-cxl-bus",
    },
};

static void test_refused(const void *data)
{
    const NumaCase *c = data;
    const RefusedCase *refused = c->row;
    const char *cxl_args = refused->cxl ? CXL_ARGS : "";
    g_autofree char *message = g_strdup_printf("%s object 'g0': %s",
                                               refused->type, refused->fact);
    g_autofree char *args = numa_args(c->machine, EMPTY_ARGS DEVICES
        "%s -object %s,id=g0,%s=%s,node=%d", cxl_args, refused->type,
        refused->of, refused->of_id, refused->node);
    QTestState *qts;

    assert_refused(args, message);

    qts = numa_start(c->machine, EMPTY_ARGS DEVICES "%s"
                     INITIATOR "id=gi0,pci-dev=dev0,node=6", cxl_args);
    assert_qmp_error(object_add(qts, refused->type, "g0", refused->of,
                                refused->of_id, refused->node), message);
    /* Nothing is left of it, and the VM goes on */
    qtest_system_reset(qts);
    assert_srat_generic(qts, "gi6@00:20");
    qtest_quit(qts);
}

/* A property, its value and another one, in the form of JSON */
typedef struct PropertyCase {
    bool cxl;
    const char *type;
    const char *id;
    const char *property;
    const char *value;
    const char *other;
} PropertyCase;

static const PropertyCase property_cases[] = {
    { false, "acpi-generic-initiator", "gi0", "node", "5", "6" },
    { false, "acpi-generic-initiator", "gi0", "node", "5", "200" },
    { false, "acpi-generic-initiator", "gi0", "pci-dev", "\"dev0\"", "'dev1'" },
    { false, "acpi-generic-initiator", "gi0", "pci-dev", "\"dev0\"", "'gpu7'" },
    { true, "acpi-generic-port", "gp0", "node", "7", "200" },
    { true, "acpi-generic-port", "gp0", "pci-bus", "\"cxl0\"", "'none'" },
};

static void test_properties(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    bool has_cxl = numa_has_cxl(machine);
    QTestState *qts = numa_start(machine, EMPTY_ARGS DEVICES
        INITIATOR "id=gi0,pci-dev=dev0,node=5 %s", has_cxl ?
        CXL_ARGS PORT "id=gp0,pci-bus=cxl0,node=7" : "");

    for (int i = 0; i < ARRAY_SIZE(property_cases); i++) {
        const PropertyCase *c = &property_cases[i];
        g_autofree char *path = g_strdup_printf("/objects/%s", c->id);
        g_autofree char *message = g_strdup_printf(
            "cannot change property '%s' of %s", c->property, c->type);
        g_autoptr(QDict) rsp = NULL;
        g_autoptr(GString) value = NULL;

        if (c->cxl && !has_cxl) {
            continue;
        }
        assert_qmp_error(qtest_qmp(qts, "{'execute': 'qom-set', 'arguments': "
                                   "{'path': %s, 'property': %s, 'value': %p}}",
                                   path, c->property,
                                   qobject_from_json(c->other, &error_abort)),
                         message);
        rsp = qtest_qmp(qts, "{'execute': 'qom-get', 'arguments': "
                        "{'path': %s, 'property': %s}}", path, c->property);
        value = qobject_to_json(qdict_get(rsp, "return"));
        g_assert_cmpstr(value->str, ==, c->value);
    }
    qtest_system_reset(qts);
    assert_srat_generic(qts, has_cxl ? "gi5@00:20 gp7@c" :
                        "gi5@00:20");
    qtest_quit(qts);
}

/* An id wins over the name of one of QEMU's own; paths are taken too */
static void test_names(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    const char *own = g_str_equal(machine->type, "q35") ? "mch" : "gpex_root";
    QTestState *qts = numa_start(machine, EMPTY_ARGS DEVICES
        PCI_DEVICE "id=%s,addr=6 "
        INITIATOR "id=gi2,pci-dev=%s,node=2 "
        INITIATOR "id=gi4,pci-dev=peripheral/dev1,node=4 "
        INITIATOR "id=gi5,pci-dev=/machine/peripheral/dev0,node=5", own, own);

    assert_srat_generic(qts, "gi2@00:30 gi4@00:28 gi5@00:20");
    qtest_quit(qts);
}

/* Each PCI bus with a device has a child[0] */
static void test_ambiguous(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    g_autofree char *device = numa_slot_device(machine, "slot-dev");
    g_autofree char *args = numa_args(machine, "%s %s" EMPTY_ARGS
        INITIATOR "id=gi0,pci-dev=child[0],node=5", machine->slot_args, device);

    assert_refused(args, "acpi-generic-initiator object 'gi0': "
                   "pci-dev=child[0]: there is more than one pci-device of "
                   "this name");
}

static void test_no_numa(void)
{
    static const char *const machines[] = { "none", "raspi3b" };
    static const struct {
        const char *type;
        const char *of;
    } objects[] = { { GI }, { GP } };

    for (int i = 0; i < ARRAY_SIZE(machines); i++) {
        QTestState *qts;

        if (!qtest_has_machine(machines[i])) {
            continue;
        }
        qts = qtest_initf("-machine %s -nodefaults", machines[i]);
        for (int j = 0; j < ARRAY_SIZE(objects); j++) {
            const char *type = objects[j].type;
            const char *of = objects[j].of;
            g_autofree char *message = g_strdup_printf(
                "%s object 'g0': machine %s has no NUMA nodes", type,
                machines[i]);
            g_autofree char *args = g_strdup_printf(
                "-machine %s -accel qtest -display none -nodefaults "
                "-object %s,id=g0,%s=x,node=5", machines[i], type, of);

            assert_refused(args, message);
            assert_qmp_error(object_add(qts, type, "g0", of, "x", 5), message);
        }
        qtest_quit(qts);
    }
}

#define HMAT_ARGS                                                       \
    "-machine hmat=on " LATENCY(0, 0, 10) LATENCY(4, 1, 60) LATENCY(5, 1, 70)
#define INITIATORS                                                      \
    INITIATOR "id=gi4,pci-dev=dev0,node=4 "                             \
    INITIATOR "id=gi5,pci-dev=dev0,node=5 "

/* After a reset both tables have the same initiators */
static void assert_tables(QTestState *qts, const char *generic,
                          const char *hmat)
{
    qtest_system_reset(qts);
    assert_srat_generic(qts, generic);
    assert_hmat(qts, hmat);
}

static void test_hmat(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    QTestState *qts = numa_start(machine, EMPTY_ARGS DEVICES
                                 INITIATORS HMAT_ARGS);

    assert_tables(qts, "gi4-5@00:20", "0 1 4 5: 0-0=10 4-1=60 5-1=70");
    initiator_add(qts, "gi2", "dev1", 2);
    assert_tables(qts, "gi2@00:28 gi4-5@00:20",
                  "0 1 2 4 5: 0-0=10 4-1=60 5-1=70");

    /* The values of an initiator that is gone are none of another's */
    numa_object_del(qts, "gi2");
    numa_object_del(qts, "gi4");
    assert_tables(qts, "gi5@00:20", "0 1 5: 0-0=10 5-1=70");
    qobject_unref(object_add(qts, "acpi-generic-initiator", "gi6", "pci-dev",
                             "none", 6));
    assert_tables(qts, "gi5@00:20", "0 1 5: 0-0=10 5-1=70");
    initiator_add(qts, "gi4", "dev1", 4);
    assert_tables(qts, "gi4@00:28 gi5@00:20",
                  "0 1 4 5: 0-0=10 4-1=60 5-1=70");

    /* One of two on a node is enough */
    initiator_add(qts, "gi4b", "dev0", 4);
    numa_object_del(qts, "gi4");
    assert_tables(qts, "gi4-5@00:20", "0 1 4 5: 0-0=10 4-1=60 5-1=70");
    qtest_quit(qts);
}

static void test_hmat_preconfig(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    QTestState *qts = numa_start(machine, "--preconfig " EMPTY_ARGS DEVICES
                                 INITIATORS HMAT_ARGS);

    numa_object_del(qts, "gi4");
    initiator_add(qts, "gi6", "none", 6);
    numa_object_del(qts, "gi6");
    initiator_add(qts, "gi2", "dev1", 2);
    qtest_qmp_assert_success(qts, "{'execute': 'x-exit-preconfig'}");
    assert_srat_generic(qts, "gi2@00:28 gi5@00:20");
    assert_hmat(qts, "0 1 2 5: 0-0=10 5-1=70");
    qtest_quit(qts);
}

static void test_preconfig_refused(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    QTestState *qts = numa_start(machine, "--preconfig " EMPTY_ARGS DEVICES);

    initiator_add(qts, "gi2", "dev0", 2);
    initiator_add(qts, "gi7", "none", 7);
    assert_qmp_error(qtest_qmp(qts, "{'execute': 'x-exit-preconfig'}"),
                     "acpi-generic-initiator object 'gi7': pci-dev=none: there "
                     "is no such pci-device");
    qtest_quit(qts);
}

/* With an initiator of node 4 whose device can be unplugged */
#define WITH_SLOT(machine, device, args)                                \
    "%s %s" EMPTY_ARGS DEVICES                                          \
    INITIATOR "id=gi4,pci-dev=slot-dev,node=4 "                         \
    INITIATOR "id=gi5,pci-dev=dev0,node=5 " HMAT_ARGS args,             \
    (machine)->slot_args, device

#define GONE                                                            \
    "acpi-generic-initiator object 'gi4' is without effect: "           \
    "pci-dev=slot-dev: there is no such pci-device\n"

static void assert_with_device(const NumaMachine *machine, QTestState *qts)
{
    assert_tables(qts, machine->express ? "gi4@00:00 gi5@00:20" :
                  "gi4@00:f0 gi5@00:20",
                  "0 1 4 5: 0-0=10 4-1=60 5-1=70");
}

static void assert_without_device(QTestState *qts)
{
    assert_tables(qts, "gi5@00:20", "0 1 5: 0-0=10 5-1=70");
}

static void test_unplugged(const void *data)
{
    const NumaMachine *machine = ((const NumaCase *)data)->machine;
    g_autofree char *log = numa_tmp_file();
    g_autofree char *device = numa_slot_device(machine, "slot-dev");
    QTestState *qts = numa_start(machine, WITH_SLOT(machine, device, "2>%s"),
                                 log);

    for (int i = 0; i < 2; i++) {
        assert_with_device(machine, qts);
        numa_unplug(machine, qts, "slot-dev");
        assert_without_device(qts);
        assert_without_device(qts);
        numa_plug(machine, qts, "slot-dev");
    }
    assert_with_device(machine, qts);
    qtest_quit(qts);
    /* Once each time that it is gone, however often the tables are built */
    assert_log(log, GONE, 2);
}

/* From a VM whose device has been unplugged, to one that is without it */
static void test_incoming(const void *data)
{
    const NumaCase *c = data;
    const NumaMachine *machine = c->machine;
    bool defer = c->row;
    g_autofree char *state = numa_tmp_file();
    g_autofree char *log = numa_tmp_file();
    g_autofree char *uri = g_strdup_printf("file:%s", state);
    g_autofree char *device = numa_slot_device(machine, "slot-dev");
    QTestState *qts = numa_start(machine, WITH_SLOT(machine, device, ""));

    numa_unplug(machine, qts, "slot-dev");
    qtest_system_reset(qts);
    numa_save(qts, state);
    qtest_quit(qts);

    qts = numa_start(machine, WITH_SLOT(machine, "", "-incoming %s 2>%s"),
                     defer ? "defer" : uri, log);
    if (defer) {
        qtest_qmp_assert_success(qts, "{'execute': 'migrate-incoming', "
                                 "'arguments': {'uri': %s}}", uri);
    }
    numa_wait_running(qts);
    assert_without_device(qts);
    numa_plug(machine, qts, "slot-dev");
    assert_with_device(machine, qts);
    qtest_quit(qts);
    assert_log(log, GONE, 1);
    unlink(state);
}

static void add_tests(const NumaMachine *machine)
{
    const char *prefix = "generic-initiator";

    for (int i = 0; i < ARRAY_SIZE(order_cases); i++) {
        if (!order_cases[i].cxl || numa_has_cxl(machine)) {
            g_autofree char *name = g_strdup_printf("order/%s",
                                                    order_cases[i].name);

            numa_add_case(machine, prefix, name, test_order, &order_cases[i]);
        }
    }
    for (int i = 0; i < ARRAY_SIZE(refused_cases); i++) {
        if (!refused_cases[i].cxl || numa_has_cxl(machine)) {
            g_autofree char *name = g_strdup_printf("refused/%s",
                                                    refused_cases[i].name);

            numa_add_case(machine, prefix, name, test_refused,
                          &refused_cases[i]);
        }
    }
    numa_add_case(machine, prefix, "order/libvirt-names", test_libvirt_names,
                  NULL);
    numa_add_case(machine, prefix, "properties", test_properties, NULL);
    if (machine->express) {
        numa_add_case(machine, prefix, "names", test_names, NULL);
        numa_add_case(machine, prefix, "refused/ambiguous", test_ambiguous,
                      NULL);
    }
    numa_add_case(machine, prefix, "hmat/running", test_hmat, NULL);
    numa_add_case(machine, prefix, "hmat/preconfig", test_hmat_preconfig, NULL);
    numa_add_case(machine, prefix, "refused/preconfig", test_preconfig_refused,
                  NULL);
    numa_add_case(machine, prefix, "unplugged", test_unplugged, NULL);
    numa_add_case(machine, prefix, "incoming/at-once", test_incoming, NULL);
    numa_add_case(machine, prefix, "incoming/defer", test_incoming, "defer");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    numa_add_tests(add_tests);
    if (numa_next_machine(NULL)) {
        qtest_add_func("/generic-initiator/no-numa", test_no_numa);
    }
    return g_test_run();
}

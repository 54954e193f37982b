/*
 * Machines with NUMA nodes, and what their SRAT and HMAT say
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/pci_regs.h"
#include "acpi-fw-cfg.h"
#include "acpi-numa.h"

/* On PCI Express a device can be plugged below a port, by its registers */
#define PORT_SLOT 0x1e
#define PORT_ARGS "-device pcie-root-port,id=slot0,addr=1e,chassis=99 "

/* Where LoongArch virt has the configuration space; libqos knows that of Arm */
#define LOONGARCH_ECAM 0x20000000

static const NumaMachine machines[] = {
    {
        .arch = "aarch64", .type = "virt", .old_type = "virt-9.2",
        .args = "-cpu cortex-a57", .node_mib = 128,
        .express = true,
        .slot_args = PORT_ARGS, .slot_bus = "slot0",
    }, {
        .arch = "loongarch64", .type = "virt", .args = "", .node_mib = 512,
        .express = true,
        .slot_args = PORT_ARGS, .slot_bus = "slot0",
    }, {
        .arch = "x86_64", .type = "q35", .old_type = "pc-q35-9.2",
        .args = "", .node_mib = 128,
        .express = true,
        .slot_args = PORT_ARGS
            "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off ",
        .slot_bus = "slot0",
    }, {
        .arch = "x86_64", .type = "pc", .old_type = "pc-i440fx-9.2",
        .args = "", .node_mib = 128,
        .slot_args = "", .slot_bus = "pci.0", .slot = 0x1e,
    },
};

const NumaMachine *numa_next_machine(const NumaMachine *machine)
{
    machine = machine ? machine + 1 : machines;
    while (machine < machines + ARRAY_SIZE(machines)) {
        if (g_str_equal(machine->arch, qtest_get_arch()) &&
            qtest_has_machine(machine->type) &&
            qtest_has_device("sdhci-pci")) {
            return machine;
        }
        machine++;
    }
    return NULL;
}

char *numa_args(const NumaMachine *machine, const char *fmt, ...)
{
    int mib = machine->node_mib;
    g_autofree char *args = NULL;
    va_list ap;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return g_strdup_printf("-machine %s %s -accel qtest -display none "
                           "-nodefaults -m %dM -smp 2 "
                           "-object memory-backend-ram,id=ram0,size=%dM "
                           "-object memory-backend-ram,id=ram1,size=%dM "
                           "-numa node,nodeid=0,memdev=ram0,cpus=0 "
                           "-numa node,nodeid=1,memdev=ram1,cpus=1 %s",
                           machine->type, machine->args, 2 * mib, mib, mib,
                           args);
}

QTestState *numa_start(const NumaMachine *machine, const char *fmt, ...)
{
    g_autofree char *args = NULL;
    g_autofree char *all_args = NULL;
    va_list ap;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    all_args = numa_args(machine, "%s", args);
    return qtest_init(all_args);
}

bool numa_has_cxl(const NumaMachine *machine)
{
    g_autofree char *args = g_strdup_printf(
        "-machine %s,cxl=on -accel qtest -display none -nodefaults",
        machine->type);
    g_autofree char *output = NULL;
    bool has_cxl = machine->express && numa_run(args, &output) == 0;

    g_assert_true(has_cxl || !g_str_equal(machine->type, "q35"));
    return has_cxl;
}

void numa_add_tests(void (*add_tests)(const NumaMachine *machine))
{
    const NumaMachine *machine = NULL;

    while ((machine = numa_next_machine(machine))) {
        add_tests(machine);
    }
}

void numa_add_case(const NumaMachine *machine, const char *prefix,
                   const char *name, GTestDataFunc func, const void *row)
{
    g_autofree char *path = g_strdup_printf("/%s/%s/%s", prefix, machine->type,
                                            name);
    NumaCase *c = g_new(NumaCase, 1);

    *c = (NumaCase) { machine, row };
    qtest_add_data_func_full(path, c, func, g_free);
}

int numa_run(const char *args, char **output)
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

void assert_refused(const char *args, const char *message)
{
    g_autofree char *output = NULL;
    int status = numa_run(args, &output);

    if (status != 1 || !strstr(output, message)) {
        g_test_message("QEMU %s", args);
        g_test_message("ended with status %d and printed: %s", status, output);
        g_test_message("not: %s", message);
        g_test_fail();
    }
}

char *numa_slot_device(const NumaMachine *machine, const char *id)
{
    return g_strdup_printf("-device sdhci-pci,id=%s,bus=%s,addr=%x ", id,
                           machine->slot_bus, machine->slot);
}

void numa_plug(const NumaMachine *machine, QTestState *qts, const char *id)
{
    g_autofree char *slot = g_strdup_printf("%x", machine->slot);

    qtest_qmp_device_add(qts, "sdhci-pci", id, "{'bus': %s, 'addr': %s}",
                         machine->slot_bus, slot);
}

void numa_unplug(const NumaMachine *machine, QTestState *qts, const char *id)
{
    g_autofree QPCIDevice *port = NULL;
    NumaPciBus bus;
    uint8_t cap;

    if (!machine->express) {
        qpci_unplug_acpi_device_test(qts, id, machine->slot);
        return;
    }
    port = qpci_device_find(numa_pci_bus(&bus, qts), QPCI_DEVFN(PORT_SLOT, 0));
    cap = qpci_find_capability(port, PCI_CAP_ID_EXP, 0);
    qtest_qmp_device_del_send(qts, id);
    qpci_config_writew(port, cap + PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_ON);
    qpci_config_writew(port, cap + PCI_EXP_SLTCTL,
                       PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PCC);
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
}

void numa_object_del(QTestState *qts, const char *id)
{
    qtest_qmp_assert_success(qts, "{'execute': 'object-del', "
                             "'arguments': {'id': %s}}", id);
}

QPCIBus *numa_pci_bus(NumaPciBus *bus, QTestState *qts)
{
    if (g_str_equal(qtest_get_arch(), "x86_64")) {
        qpci_init_pc(&bus->pc, qts, NULL);
        return &bus->pc.bus;
    }
    qpci_init_generic(&bus->generic, qts, NULL, false);
    if (g_str_equal(qtest_get_arch(), "loongarch64")) {
        bus->generic.ecam_alloc_ptr = LOONGARCH_ECAM;
    }
    return &bus->generic.bus;
}

void numa_save(QTestState *qts, const char *name)
{
    g_autofree char *uri = g_strdup_printf("file:%s", name);
    bool done;

    qtest_qmp_assert_success(qts, "{'execute': 'migrate', "
                             "'arguments': {'uri': %s}}", uri);
    do {
        g_autoptr(QDict) ret = qtest_qmp_assert_success_ref(
            qts, "{'execute': 'query-migrate'}");
        const char *status = qdict_get_try_str(ret, "status");

        g_assert_cmpstr(status, !=, "failed");
        done = g_strcmp0(status, "completed") == 0;
        g_usleep(1000);
    } while (!done);
}

void numa_wait_running(QTestState *qts)
{
    bool running;

    do {
        g_autoptr(QDict) ret = qtest_qmp_assert_success_ref(
            qts, "{'execute': 'query-status'}");

        running = qdict_get_bool(ret, "running");
        g_usleep(1000);
    } while (!running);
}

char *numa_tmp_file(void)
{
    g_autoptr(GError) err = NULL;
    char *name = NULL;
    int fd = g_file_open_tmp("acpi-numa-XXXXXX", &name, &err);

    g_assert_no_error(err);
    close(fd);
    return name;
}

void assert_log(const char *name, const char *text, int times)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *log = NULL;
    g_auto(GStrv) parts = NULL;

    g_file_get_contents(name, &log, NULL, &err);
    g_assert_no_error(err);
    parts = g_strsplit(log, text, -1);
    if (g_strv_length(parts) != times + 1) {
        g_error("not %d times '%s', but: %s", times, text, log);
    }
    unlink(name);
}

void assert_qmp_error(QDict *rsp, const char *desc)
{
    g_assert_true(qdict_haskey(rsp, "error"));
    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(rsp, "error"), "desc"), ==,
                    desc);
    qobject_unref(rsp);
}

/* Header and reserved bytes, then structures of type and length */
#define SRAT_FIRST 48

enum {
    SRAT_MEMORY = 1,
    SRAT_INITIATOR = 5,
    SRAT_PORT = 6,
};

enum {
    MEMORY_ENABLED = 1,
    MEMORY_HOT_PLUGGABLE = 2,
};

/* Consecutive nodes of one @kind and of one thing, in @str as "KIND2-5@OF" */
typedef struct Run {
    GString *str;
    const char *kind;
    uint32_t first;
    uint32_t last;
    char of[16];
} Run;

static void end_run(Run *run)
{
    if (run->kind) {
        g_string_append_printf(run->str, "%s%s%u", run->str->len ? " " : "",
                               run->kind, run->first);
        if (run->first < run->last) {
            g_string_append_printf(run->str, "-%u", run->last);
        }
        g_string_append(run->str, run->of);
    }
}

static void add_node(Run *run, const char *kind, uint32_t node, const char *of)
{
    if (run->kind != kind || node != run->last + 1 ||
        !g_str_equal(run->of, of)) {
        end_run(run);
        run->kind = kind;
        run->first = node;
        g_strlcpy(run->of, of, sizeof(run->of));
    }
    run->last = node;
}

/* ACPI 6.5, 5.2.16.2 Memory Affinity Structure; false if it is disabled */
static bool add_memory(Run *run, const uint8_t *entry)
{
    uint32_t node = ldl_le_p(entry + 2);
    uint64_t base = ldq_le_p(entry + 8);
    uint64_t length = ldq_le_p(entry + 16);
    uint32_t flags = ldl_le_p(entry + 28);
    static const char *const boot = "m", *const empty = "e", *const hot = "h";

    g_assert_cmpint(entry[1], ==, 40);
    if (!flags) {
        g_assert_cmphex(base | length, ==, 0);
        return false;
    }
    if (flags == MEMORY_ENABLED) {
        g_assert_cmphex(length, !=, 0);
        /* Around a hole a node has two */
        if (run->kind != boot || run->last != node) {
            add_node(run, boot, node, "");
        }
        return true;
    }
    g_assert_cmphex(flags, ==, MEMORY_ENABLED | MEMORY_HOT_PLUGGABLE);
    g_assert_cmpint(!base, ==, !length);
    add_node(run, length ? hot : empty, node, "");
    return true;
}

/* ACPI 6.5, 5.2.16.6 Generic Initiator, 5.2.16.7 Generic Port Affinity */
static void add_generic(Run *run, const uint8_t *entry)
{
    static const char *const kinds[] = { "gi", "gp" };
    bool port = entry[0] == SRAT_PORT;
    const uint8_t *handle = entry + 8;
    g_autofree char *of = NULL;

    g_assert_cmpint(entry[1], ==, 32);
    g_assert_cmpint(entry[2], ==, 0);               /* Reserved */
    g_assert_cmpint(entry[3], ==, !port);           /* 0: ACPI, 1: PCI */
    g_assert_cmphex(ldl_le_p(entry + 24), ==, 1);   /* Flags: Enabled */
    g_assert_cmphex(ldl_le_p(entry + 28), ==, 0);   /* Reserved */
    if (port) {
        g_assert_cmpmem(handle, 8, "ACPI0016", 8);
        g_assert_cmphex(ldl_le_p(handle + 12), ==, 0);
        of = g_strdup_printf("@%x", ldl_le_p(handle + 8));
    } else {
        g_assert_cmphex(lduw_le_p(handle), ==, 0);  /* Segment */
        g_assert_cmphex(ldl_le_p(handle + 4), ==, 0);
        g_assert_cmphex(ldq_le_p(handle + 8), ==, 0);
        of = g_strdup_printf("@%02x:%02x", handle[2], handle[3]);
    }
    add_node(run, kinds[port], ldl_le_p(entry + 4), of);
}

/* Returns: the generic or the memory structures as assert_srat_*() has them */
static char *read_srat(QTestState *qts, bool want_generic, int *disabled)
{
    g_autoptr(GByteArray) srat = acpi_fw_cfg_read(qts, "SRAT");
    Run generic = { .str = g_string_new("") };
    Run memory = { .str = g_string_new("") };
    int num_disabled = 0;

    g_assert_nonnull(srat);
    for (guint at = SRAT_FIRST; at < srat->len; at += srat->data[at + 1]) {
        const uint8_t *entry = srat->data + at;

        if (entry[0] == SRAT_MEMORY) {
            num_disabled += !add_memory(&memory, entry);
        } else if (entry[0] == SRAT_INITIATOR || entry[0] == SRAT_PORT) {
            g_assert_null(memory.kind);
            add_generic(&generic, entry);
        } else {
            g_assert_true(!memory.kind && !generic.kind);
        }
    }
    end_run(&generic);
    end_run(&memory);
    if (disabled) {
        *disabled = num_disabled;
    }
    g_string_free(want_generic ? memory.str : generic.str, true);
    return g_string_free(want_generic ? generic.str : memory.str, false);
}

void assert_srat_generic(QTestState *qts, const char *expected)
{
    g_autofree char *generic = read_srat(qts, true, NULL);

    g_assert_cmpstr(generic, ==, expected);
}

void assert_srat_memory(QTestState *qts, const char *expected)
{
    g_autofree char *memory = read_srat(qts, false, NULL);

    g_assert_cmpstr(memory, ==, expected);
}

void assert_srat_disabled(QTestState *qts, int expected)
{
    int disabled;

    g_free(read_srat(qts, false, &disabled));
    g_assert_cmpint(disabled, ==, expected);
}

/* Header and reserved bytes, then structures of type and length */
#define HMAT_FIRST 40
#define HMAT_LATENCY 1

/* ACPI 6.5, 5.2.27.4 System Locality Latency and Bandwidth Information */
static void describe_latency(GString *str, const uint8_t *entry)
{
    uint32_t initiators = ldl_le_p(entry + 12);
    uint32_t targets = ldl_le_p(entry + 16);
    const uint8_t *initiator = entry + 32;
    const uint8_t *target = initiator + 4 * initiators;
    const uint8_t *value = target + 4 * targets;
    uint64_t picoseconds = ldq_le_p(entry + 24);

    for (uint32_t i = 0; i < initiators; i++) {
        g_string_append_printf(str, i ? " %u" : "%u",
                               ldl_le_p(initiator + 4 * i));
    }
    g_string_append_c(str, ':');
    for (uint32_t i = 0; i < initiators * targets; i++) {
        if (lduw_le_p(value + 2 * i)) {
            g_string_append_printf(str, " %u-%u=%" PRIu64,
                                   ldl_le_p(initiator + 4 * (i / targets)),
                                   ldl_le_p(target + 4 * (i % targets)),
                                   lduw_le_p(value + 2 * i) * picoseconds /
                                   1000);
        }
    }
}

void assert_hmat(QTestState *qts, const char *expected)
{
    g_autoptr(GByteArray) hmat = acpi_fw_cfg_read(qts, "HMAT");
    g_autoptr(GString) str = g_string_new("");

    g_assert_nonnull(hmat);
    for (guint at = HMAT_FIRST; at < hmat->len && !str->len;
         at += ldl_le_p(hmat->data + at + 4)) {
        if (lduw_le_p(hmat->data + at) == HMAT_LATENCY) {
            describe_latency(str, hmat->data + at);
        }
    }
    g_assert_cmpstr(str->str, ==, expected);
}

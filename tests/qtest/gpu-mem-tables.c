/*
 * What the tables say of GPUs with memory: the expected against the built
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "acpi-fw-cfg.h"
#include "dsdt-walk.h"
#include "gpu-mem-tables.h"

/* Header and reserved bytes, then structures of type and length */
#define SRAT_FIRST 48

enum {
    SRAT_MEMORY = 1,
    SRAT_INITIATOR = 5,
};

enum {
    MEMORY_ENABLED = 1,
    MEMORY_HOT_PLUGGABLE = 2,
};

void assert_srat(QTestState *qts, int last)
{
    g_autoptr(GByteArray) srat = acpi_fw_cfg_read(qts, "SRAT");
    int next = 0;
    bool padded = false;

    for (guint at = SRAT_FIRST; at < srat->len; at += srat->data[at + 1]) {
        const uint8_t *entry = srat->data + at;
        int node = ldl_le_p(entry + 2);
        uint64_t base = ldq_le_p(entry + 8);
        uint64_t length = ldq_le_p(entry + 16);
        uint32_t flags = ldl_le_p(entry + 28);

        if (entry[0] != SRAT_MEMORY) {
            continue;
        }
        g_assert_cmpint(entry[1], ==, 40);
        if (!flags) {
            /* x86 has at least as many entries as nodes and two more */
            g_assert_cmpstr(qtest_get_arch(), ==, "x86_64");
            g_assert_cmphex(length, ==, 0);
            padded = true;
            continue;
        }
        g_assert_false(padded);
        if (node == next - 1 && node < CPU_NODES) {
            /* On x86 memory has holes */
            g_assert_cmpstr(qtest_get_arch(), ==, "x86_64");
            g_assert_cmphex(base, >=, MiB);
        } else {
            g_assert_cmpint(node, ==, next);
            next++;
        }
        if (node >= CPU_NODES) {
            g_assert_cmphex(base, ==, 0);
            g_assert_cmphex(length, ==, 0);
            g_assert_cmphex(flags, ==, MEMORY_ENABLED | MEMORY_HOT_PLUGGABLE);
        } else {
            g_assert_cmphex(length, !=, 0);
            g_assert_cmphex(flags, ==, MEMORY_ENABLED);
        }
    }
    g_assert_cmpint(next, ==, last + 1);
}

/* ACPI 6.5, 5.2.16.6 Generic Initiator Affinity Structure */
static void assert_initiator(const uint8_t *entry, uint32_t node,
                             const Initiators *of)
{
    const uint8_t handle[16] = { 0, 0, of->bus, of->devfn };

    g_assert_cmpint(entry[1], ==, 32);
    g_assert_cmpint(entry[2], ==, 0);               /* Reserved */
    g_assert_cmpint(entry[3], ==, 1);               /* A PCI device's handle */
    g_assert_cmpint(ldl_le_p(entry + 4), ==, node);
    g_assert_cmpmem(entry + 8, 16, handle, sizeof(handle));
    g_assert_cmphex(ldl_le_p(entry + 24), ==, 1);   /* Flags: Enabled */
    g_assert_cmphex(ldl_le_p(entry + 28), ==, 0);   /* Reserved */
}

void assert_initiators(QTestState *qts, const Initiators *initiators, int num)
{
    g_autoptr(GByteArray) srat = acpi_fw_cfg_read(qts, "SRAT");
    bool memory = false;
    bool initiator = false;
    int device = 0;
    uint32_t done = 0;

    for (guint at = SRAT_FIRST; at < srat->len; at += srat->data[at + 1]) {
        const uint8_t *entry = srat->data + at;

        if (entry[0] != SRAT_INITIATOR) {
            memory |= entry[0] == SRAT_MEMORY;
            g_assert_true(!initiator || entry[0] == SRAT_MEMORY);
            continue;
        }
        initiator = true;
        g_assert_false(memory);
        g_assert_cmpint(device, <, num);
        assert_initiator(entry, initiators[device].start + done,
                         &initiators[device]);
        if (++done == initiators[device].count) {
            device++;
            done = 0;
        }
    }
    g_assert_true(memory);
    g_assert_cmpint(device, ==, num);
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
    g_assert_cmpint(dev->pxm, ==, gpu->has_pxm ? gpu->pxm : -1);
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

void assert_dsdt(QTestState *qts, const Gpu *gpus, int num_gpus)
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

void assert_iasl(QTestState *qts)
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

    /* Another version may have more to say about what isn't ours */
    if (!iasl || !g_test_slow()) {
        g_test_message("the DSDT is disassembled only with iasl and -m slow");
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

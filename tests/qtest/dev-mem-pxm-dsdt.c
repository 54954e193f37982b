/*
 * What the DSDT says of devices with coherent memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "acpi-fw-cfg.h"
#include "acpi-utils.h"
#include "dev-mem-pxm-dsdt.h"
#include "dsdt-walk.h"

#define LENGTH_OFFSET 4
#define CHECKSUM_OFFSET 9
#define NOOP_OP 0xa3            /* ACPI 6.5, 20.3 AML Byte Stream Byte Values */

static uint64_t property(const DsdtDevice *dev, const char *name)
{
    uint64_t *value = g_hash_table_lookup(dev->properties, name);

    if (!value) {
        g_error("%s has no property %s", dev->path, name);
    }
    return *value;
}

static char *describe_egm(const DsdtDevice *dev)
{
    if (!g_hash_table_contains(dev->properties, "nvidia,egm-pxm")) {
        return g_strdup("");
    }
    return g_strdup_printf("/egm%" PRIu64 "@%" PRIx64 "+%" PRIx64,
                           property(dev, "nvidia,egm-pxm"),
                           property(dev, "nvidia,egm-base-pa"),
                           property(dev, "nvidia,egm-size"));
}

static char *describe_gpu(const DsdtDevice *dev)
{
    g_autofree char *egm = describe_egm(dev);
    uint64_t start = property(dev, "dev-mem-pxm-start");
    uint64_t count = property(dev, "dev-mem-pxm-count");
    bool general = g_hash_table_size(dev->properties) == 2;
    const char *path = dev->path + strlen("\\_SB.");

    g_assert_true(g_str_has_prefix(dev->path, "\\_SB."));
    if (!general) {
        g_assert_cmpint(g_hash_table_size(dev->properties), ==, *egm ? 7 : 4);
        g_assert_cmpuint(property(dev, "nvidia,gpu-mem-pxm-start"), ==, start);
        g_assert_cmpuint(property(dev, "nvidia,gpu-mem-pxm-count"), ==, count);
    }
    return g_strdup_printf("%s:%" PRIu64 "+%" PRIu64 "%s%s", path, start, count,
                           general ? "/general" : "", egm);
}

/* Those of PCI are named by slot and function */
static void assert_address(const DsdtDevice *dev)
{
    const char *name = strrchr(dev->path, '.');
    unsigned devfn;
    int end;

    if (name && sscanf(name, ".S%2X%n", &devfn, &end) == 1 && !name[end]) {
        g_assert_cmphex(dev->adr, ==, devfn >> 3 << 16 | (devfn & 7));
    }
}

/* Two devices in one place are one too many */
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

static gint compare_strings(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void assert_dsdt(QTestState *qts, const char *expected)
{
    g_autoptr(GByteArray) dsdt = acpi_fw_cfg_read(qts, "DSDT");
    g_autoptr(GPtrArray) devices = dsdt_walk(dsdt);
    g_autoptr(GPtrArray) gpus = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *found = NULL;

    for (guint i = 0; i < devices->len; i++) {
        const DsdtDevice *dev = g_ptr_array_index(devices, i);

        assert_address(dev);
        if (g_hash_table_size(dev->properties)) {
            g_ptr_array_add(gpus, describe_gpu(dev));
        }
    }
    assert_no_address_twice(devices);
    g_ptr_array_sort(gpus, compare_strings);
    g_ptr_array_add(gpus, NULL);
    found = g_strjoinv(" ", (char **)gpus->pdata);
    g_assert_cmpstr(found, ==, expected);
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
    /* iasl takes a length that reads as the start of a comment for a text */
    if (lduw_le_p(dsdt->data + LENGTH_OFFSET) == ('/' | '*' << 8)) {
        g_byte_array_append(dsdt, (const uint8_t[]) { NOOP_OP }, 1);
        stl_le_p(dsdt->data + LENGTH_OFFSET, dsdt->len);
    }
    /* What the firmware would do */
    dsdt->data[CHECKSUM_OFFSET] -= acpi_calc_checksum(dsdt->data, dsdt->len);
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

/*
 * ACPI tables as firmware would read them, without running any
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqos/fw_cfg.h"
#include "acpi-fw-cfg.h"

#define MAX_TABLES_SIZE (2 * MiB)
#define HEADER_LENGTH 36
#define LENGTH_OFFSET 4

/* By ports on x86; libqos allocates from the RAM that begins at @ram */
static const struct {
    const char *arch;
    uint64_t fw_cfg;
    uint64_t ram;
} machines[] = {
    { "aarch64", 0x09020000, 0x44000000 },
    { "loongarch64", 0x1e020000, 0x4000000 },
    { "x86_64", 0x510, 0x4000000 },
};

static GByteArray *read_tables(QTestState *qts)
{
    QOSState qs = { .qts = qts };
    GByteArray *tables = g_byte_array_new();
    g_autoptr(QFWCFG) fw_cfg = NULL;

    for (int i = 0; i < ARRAY_SIZE(machines); i++) {
        if (g_str_equal(machines[i].arch, qtest_get_arch())) {
            fw_cfg = machines[i].fw_cfg <= UINT16_MAX ?
                     io_fw_cfg_init(qts, machines[i].fw_cfg) :
                     mm_wide_fw_cfg_init(qts, machines[i].fw_cfg);
            alloc_init(&qs.alloc, ALLOC_NO_FLAGS, machines[i].ram,
                       machines[i].ram + 2 * MAX_TABLES_SIZE, 4 * KiB);
        }
    }
    g_assert_nonnull(fw_cfg);
    g_byte_array_set_size(tables, MAX_TABLES_SIZE);
    g_byte_array_set_size(tables, qfw_cfg_read_file(fw_cfg, &qs,
                                                    "etc/acpi/tables",
                                                    tables->data,
                                                    MAX_TABLES_SIZE));
    alloc_destroy(&qs.alloc);
    return tables;
}

GByteArray *acpi_fw_cfg_read(QTestState *qts, const char *signature)
{
    g_autoptr(GByteArray) tables = read_tables(qts);
    uint32_t length;

    for (guint at = 0; at + HEADER_LENGTH <= tables->len; at += length) {
        const uint8_t *table = tables->data + at;

        length = ldl_le_p(table + LENGTH_OFFSET);
        if (length < HEADER_LENGTH || length > tables->len - at) {
            break;
        }
        if (!memcmp(table, signature, 4)) {
            return g_byte_array_append(g_byte_array_new(), table, length);
        }
    }
    return NULL;
}

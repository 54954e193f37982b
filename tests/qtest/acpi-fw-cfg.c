/*
 * ACPI tables as firmware would read them, without running any
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "standard-headers/linux/qemu_fw_cfg.h"
#include "acpi-fw-cfg.h"

/**
 * FwCfg:
 * @dma_register: its DMA register, in the I/O space where @is_port says so
 * @scratch: an address in guest RAM: the request, then data
 */
typedef struct FwCfg {
    const char *arch;
    uint64_t dma_register;
    bool is_port;
    uint64_t scratch;
} FwCfg;

static const FwCfg fw_cfgs[] = {
    { "aarch64", 0x09020010, false, 0x40000000 },
    { "x86_64", 0x514, true, 0x100000 },
};

#define DATA_OFFSET 0x1000
#define ACPI_HEADER_LENGTH 36
#define ACPI_LENGTH_OFFSET 4
#define ACPI_CHECKSUM_OFFSET 9

static const FwCfg *find_fw_cfg(void)
{
    for (int i = 0; i < ARRAY_SIZE(fw_cfgs); i++) {
        if (g_str_equal(fw_cfgs[i].arch, qtest_get_arch())) {
            return &fw_cfgs[i];
        }
    }
    g_error("no fw_cfg is known for %s", qtest_get_arch());
}

/* Big-endian everywhere; the write of the lower half starts the DMA */
static void start_dma(QTestState *qts, const FwCfg *fw_cfg)
{
    if (fw_cfg->is_port) {
        qtest_outl(qts, fw_cfg->dma_register, bswap32(fw_cfg->scratch >> 32));
        qtest_outl(qts, fw_cfg->dma_register + 4,
                   bswap32((uint32_t)fw_cfg->scratch));
    } else {
        qtest_writeq(qts, fw_cfg->dma_register, bswap64(fw_cfg->scratch));
    }
}

static void dma_read(QTestState *qts, uint16_t key, void *data, size_t length)
{
    const FwCfg *fw_cfg = find_fw_cfg();
    struct fw_cfg_dma_access request = {
        .control = cpu_to_be32(FW_CFG_DMA_CTL_READ | FW_CFG_DMA_CTL_SELECT |
                               key << 16),
        .length = cpu_to_be32(length),
        .address = cpu_to_be64(fw_cfg->scratch + DATA_OFFSET),
    };

    qtest_memwrite(qts, fw_cfg->scratch, &request, sizeof(request));
    start_dma(qts, fw_cfg);
    qtest_memread(qts, fw_cfg->scratch, &request, sizeof(request));
    g_assert_cmphex(be32_to_cpu(request.control), ==, 0);
    qtest_memread(qts, fw_cfg->scratch + DATA_OFFSET, data, length);
}

static GByteArray *read_file(QTestState *qts, const char *name)
{
    struct fw_cfg_file file;
    g_autofree uint8_t *directory = NULL;
    uint32_t count;
    GByteArray *data = g_byte_array_new();

    dma_read(qts, FW_CFG_FILE_DIR, &count, sizeof(count));
    count = be32_to_cpu(count);
    directory = g_malloc(sizeof(count) + count * sizeof(file));
    dma_read(qts, FW_CFG_FILE_DIR, directory,
             sizeof(count) + count * sizeof(file));

    for (uint32_t i = 0; i < count; i++) {
        memcpy(&file, directory + sizeof(count) + i * sizeof(file),
               sizeof(file));
        if (g_str_equal(file.name, name)) {
            g_byte_array_set_size(data, be32_to_cpu(file.size));
            dma_read(qts, be16_to_cpu(file.select), data->data, data->len);
        }
    }
    return data;
}

/* Left to the firmware by QEMU, which has it do so by a linker script */
static void set_checksum(GByteArray *table)
{
    uint8_t sum = 0;

    for (guint i = 0; i < table->len; i++) {
        sum += table->data[i];
    }
    table->data[ACPI_CHECKSUM_OFFSET] -= sum;
}

GByteArray *acpi_fw_cfg_read(QTestState *qts, const char *signature)
{
    g_autoptr(GByteArray) tables = read_file(qts, "etc/acpi/tables");
    guint at = 0;

    while (at + ACPI_HEADER_LENGTH <= tables->len) {
        const uint8_t *table = tables->data + at;
        uint32_t length = ldl_le_p(table + ACPI_LENGTH_OFFSET);

        if (length < ACPI_HEADER_LENGTH || length > tables->len - at) {
            break;
        }
        if (!memcmp(table, signature, 4)) {
            GByteArray *found = g_byte_array_new();

            g_byte_array_append(found, table, length);
            set_checksum(found);
            return found;
        }
        at += length;
    }
    return NULL;
}

/*
 * ACPI tables as firmware would read them, without running any
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_ACPI_FW_CFG_H
#define TESTS_ACPI_FW_CFG_H

#include "libqtest.h"

/**
 * acpi_fw_cfg_read:
 * @qts: a QTest of arm virt, or of a PC
 * @signature: of a table, four characters
 *
 * Read "etc/acpi/tables" from the machine's fw_cfg, which has QEMU build the
 * tables anew if it was reset since it last did.
 *
 * Returns: the first table with @signature, its header included, or %NULL.
 */
GByteArray *acpi_fw_cfg_read(QTestState *qts, const char *signature);

#endif

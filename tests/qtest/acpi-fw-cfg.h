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
 * @qts: a QTest of virt of Arm or LoongArch, or of a PC
 * @signature: of a table, four characters
 *
 * Read "etc/acpi/tables" from the machine's fw_cfg.  After a reset this makes
 * QEMU build the tables anew.
 *
 * Returns: the first table with @signature, its header included, or %NULL.  The
 *     checksum is not set: QEMU leaves that to the firmware.
 */
GByteArray *acpi_fw_cfg_read(QTestState *qts, const char *signature);

#endif

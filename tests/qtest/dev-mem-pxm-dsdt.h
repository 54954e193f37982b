/*
 * What the DSDT says of devices with coherent memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_DEV_MEM_PXM_DSDT_H
#define TESTS_DEV_MEM_PXM_DSDT_H

#include "libqtest.h"

/**
 * assert_dsdt:
 * @qts: a QTest of numa_start()
 * @expected: such as "PC80.S00.S00:6+4 PCI0.S20:2+4"
 *
 * The devices below \_SB that have a _DSD are @expected, sorted by path, each
 * with start and count of the nodes that its _DSD names: by the general names
 * and NVIDIA's, or, where "/general" follows, by the general names alone.  What
 * it says of Extended GPU Memory follows as node, address and size, such as
 * "/egm1@48000000+8000000".  The _ADR of all PCI devices fits their names, and
 * no two are in one place.
 */
void assert_dsdt(QTestState *qts, const char *expected);

/* iasl reads the DSDT without a complaint */
void assert_iasl(QTestState *qts);

#endif

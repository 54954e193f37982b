/*
 * What differs between the QEMU versions that this code builds on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ACPI_BASE_COMPAT_H
#define HW_ACPI_BASE_COMPAT_H

#define QEMU_BASE_AT_LEAST(major, minor)                                \
    (QEMU_VERSION_MAJOR > (major) ||                                    \
     (QEMU_VERSION_MAJOR == (major) && QEMU_VERSION_MINOR >= (minor)))

/* 10.1: the data argument of a class_init function became const */
#if QEMU_BASE_AT_LEAST(10, 1)
typedef const void ClassInitData;
#else
typedef void ClassInitData;
#endif

/* 10.1: the DSDT of arm virt names the PCI devices below PCI0 */
#define VIRT_DSDT_NAMES_PCI0 QEMU_BASE_AT_LEAST(10, 1)

/* 11.0: the headers of the machine core moved to hw/core/ */
#if QEMU_BASE_AT_LEAST(11, 0)
#include "hw/core/boards.h"
#include "hw/core/qdev.h"
#include "hw/core/qdev-properties.h"
#else
#include "hw/boards.h"
#include "hw/qdev-core.h"
#include "hw/qdev-properties.h"
#endif

#endif

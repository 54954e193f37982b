/*
 * For a QEMU without the objects that give a PCI device NUMA nodes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/acpi/pci-dev-mem.h"

const char *pci_dev_mem_acpi_node_device(uint32_t node)
{
    return NULL;
}

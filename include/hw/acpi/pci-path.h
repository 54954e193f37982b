/*
 * PCI devices in the DSDT, named from the host bridge down
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ACPI_PCI_PATH_H
#define HW_ACPI_PCI_PATH_H

#include "hw/acpi/aml-build.h"
#include "hw/pci/pci.h"

/**
 * AcpiPciRoots:
 * @pci0: the root bus of the host bridge \_SB.PCI0
 * @pci0_named: the DSDT already names the devices below @pci0, as
 *     build_append_pci_bus_devices() does
 * @cxl_prefix: the name of a CXL host bridge is this and its bus in hex, while
 *     that of another PCI expander bridge begins with PC
 */
typedef struct AcpiPciRoots {
    PCIBus *pci0;
    bool pci0_named;
    const char *cxl_prefix;
} AcpiPciRoots;

/**
 * build_append_pci_objects:
 * @dsdt: the DSDT under construction, with its host bridges already in it
 * @roots: the host bridges, as the DSDT names them
 * @objects: PCIDevice to Aml: devices that are no bridges, each with what its
 *     ACPI node is given, such as a _DSD
 *
 * Give each of these devices its object.  The device and the bridges on the way
 * to it get a Device each, S<devfn in hex> with its _ADR, or a Scope where the
 * DSDT names them already, which it does only below PCI0.
 *
 * ACPI 6.5, 6.1.1 _ADR (Address), table 6.2 for the PCI form
 */
void build_append_pci_objects(Aml *dsdt, const AcpiPciRoots *roots,
                              GHashTable *objects);

#endif

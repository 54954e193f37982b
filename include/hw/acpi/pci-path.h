/*
 * PCI devices in the DSDT, named from the host bridge down
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ACPI_PCI_PATH_H
#define HW_ACPI_PCI_PATH_H

#include "hw/acpi/aml-build.h"
#include "hw/pci/pci_device.h"

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
 * AcpiPciEndpoint:
 * @pdev: a PCI device that is not a bridge
 * @objects: array of Aml: what its ACPI node is given, such as a _DSD
 */
typedef struct AcpiPciEndpoint {
    PCIDevice *pdev;
    GPtrArray *objects;
} AcpiPciEndpoint;

/**
 * build_append_pci_endpoints:
 * @dsdt: the DSDT under construction, with its host bridges already in it
 * @roots: the host bridges, as the DSDT names them
 * @endpoints: array of AcpiPciEndpoint, no device twice
 *
 * Give each endpoint its objects.  The endpoint and the bridges on the way to
 * it get a Device each, S<devfn in hex> with its _ADR, or a Scope where the
 * DSDT names them already.  Bridges that endpoints share are named once.  Root
 * buses other than PCI0 are those of PCI expander bridges, each with a number
 * of its own, and QEMU names no device below them.
 *
 * ACPI 6.5, 6.1.1 _ADR (Address), table 6.2 for the PCI form
 */
void build_append_pci_endpoints(Aml *dsdt, const AcpiPciRoots *roots,
                                const GArray *endpoints);

#endif

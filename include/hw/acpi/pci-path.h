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
 * AcpiPciEndpoint:
 * @pdev: a PCI device that is not a bridge
 * @aml: the object that its ACPI node is given, such as a _DSD
 */
typedef struct AcpiPciEndpoint {
    PCIDevice *pdev;
    Aml *aml;
} AcpiPciEndpoint;

/**
 * build_append_pci_endpoints:
 * @dsdt: the DSDT under construction, with its host bridges already in it
 * @pci0: the root bus of the host bridge \_SB.PCI0
 * @pci0_named: the DSDT already names the devices below @pci0, as
 *     build_append_pci_bus_devices() does
 * @endpoints: array of AcpiPciEndpoint, no device twice
 *
 * Give each endpoint its object.  The endpoint and the bridges on the way to it
 * get a Device each, S<devfn in hex> with its _ADR, or a Scope where the DSDT
 * names them already.  Bridges that endpoints share are named once.  Root buses
 * other than @pci0 are those of PCI expander bridges, \_SB.PC<bus in hex>, each
 * with a number of its own, and QEMU names no device below them.
 *
 * ACPI 6.5, 6.1.1 _ADR (Address), table 6.2 for the PCI form
 */
void build_append_pci_endpoints(Aml *dsdt, PCIBus *pci0, bool pci0_named,
                                const GArray *endpoints);

#endif

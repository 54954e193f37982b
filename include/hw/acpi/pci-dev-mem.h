/*
 * NUMA nodes for the coherent memory of a PCI device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ACPI_PCI_DEV_MEM_H
#define HW_ACPI_PCI_DEV_MEM_H

#include "hw/acpi/aml-build.h"
#include "hw/acpi/base-compat.h"
#include "hw/pci/pci_bus.h"
#include "qom/object.h"

/*
 * The abstract parent of the objects that link a PCI device to the empty NUMA
 * nodes that its memory will be onlined into.  What a subclass adds is how its
 * guest driver wants to be told.
 */
#define TYPE_PCI_DEV_MEM_ACPI "pci-dev-mem-acpi"
OBJECT_DECLARE_TYPE(PciDevMemAcpi, PciDevMemAcpiClass, PCI_DEV_MEM_ACPI)

/**
 * PciDevMemNames:
 * @pxm_start: _DSD property with the first proximity domain
 * @pxm_count: _DSD property with the number of consecutive domains
 */
typedef struct PciDevMemNames {
    const char *pxm_start;
    const char *pxm_count;
} PciDevMemNames;

struct PciDevMemAcpiClass {
    ObjectClass parent_class;

    /* The names that the driver looks for, beside the general ones */
    PciDevMemNames driver_names;
};

/*
 * What a machine implements whose tables tell the guest of these objects: with
 * any other, an object would be without effect.
 */
#define TYPE_PCI_DEV_MEM_ACPI_MACHINE "pci-dev-mem-acpi-machine"
typedef struct PciDevMemAcpiMachineClass PciDevMemAcpiMachineClass;
DECLARE_CLASS_CHECKERS(PciDevMemAcpiMachineClass, PCI_DEV_MEM_ACPI_MACHINE,
                       TYPE_PCI_DEV_MEM_ACPI_MACHINE)

struct PciDevMemAcpiMachineClass {
    InterfaceClass parent_class;

    /* As it has been started, does the machine build ACPI tables? */
    bool (*builds_tables)(MachineState *ms);
};

/**
 * pci_dev_mem_acpi_node_device:
 * @node: node number
 *
 * Returns: the id of the device that an object gives @node to, whether the
 *     device is there at the time or not, or %NULL where no object has @node.
 *     The string is the object's, valid as long as that.
 */
const char *pci_dev_mem_acpi_node_device(uint32_t node);

/**
 * pci_dev_mem_acpi_find_srat_nodes:
 * @nodes: bitmap of MAX_NODES bits, overwritten: the nodes of all objects
 *
 * Find, and trace, what gets into the SRAT that is being built.
 *
 * An object may name the node of a generic initiator, which is no empty node
 * otherwise: driver and initiator then have the node in common.
 */
void pci_dev_mem_acpi_find_srat_nodes(unsigned long *nodes);

/**
 * pci_dev_mem_acpi_build_dsdt:
 * @dsdt: the DSDT under construction, with its host bridges already in it
 * @pci0: the root bus of the host bridge \_SB.PCI0
 * @pci0_named: the DSDT already names the devices below @pci0
 *
 * Give the device of each object a _DSD with the object's proximity domains.
 * A device that has been unplugged is left out with a warning.
 */
void pci_dev_mem_acpi_build_dsdt(Aml *dsdt, PCIBus *pci0, bool pci0_named);

#endif

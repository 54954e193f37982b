/*
 * NUMA nodes for the coherent memory of a PCI device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ACPI_PCI_DEV_MEM_H
#define HW_ACPI_PCI_DEV_MEM_H

#include "hw/acpi/aml-build.h"
#include "hw/acpi/base-compat.h"
#include "hw/acpi/numa-empty-nodes.h"
#include "hw/acpi/pci-path.h"
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
 * pci_dev_mem_acpi_begin_srat:
 * @table_data: the SRAT under construction, with all CPUs in it and no memory
 * @ms: the machine
 * @empty: overwritten: the nodes that build_srat_empty_node() is to describe
 *
 * Append the Generic Initiator Affinity Structures of the objects that have
 * them, by ascending node, and find the empty nodes, the objects' own among
 * them.  The initiators come before all memory, since there are drivers that
 * never read the last entry of a SRAT.
 *
 * ACPI 6.5, 5.2.16.6 Generic Initiator Affinity Structure, with the PCI device
 * handle of table 5.65
 */
void pci_dev_mem_acpi_begin_srat(GArray *table_data, MachineState *ms,
                                 SratEmptyNodes *empty);

/**
 * pci_dev_mem_acpi_build_dsdt:
 * @dsdt: the DSDT under construction, with its host bridges already in it
 * @roots: the host bridges, as the DSDT names them
 *
 * Give the device of each object a _DSD with the object's proximity domains,
 * and a _PXM if the object has one.  A device that has been unplugged is left
 * out with a warning.
 */
void pci_dev_mem_acpi_build_dsdt(Aml *dsdt, const AcpiPciRoots *roots);

#endif

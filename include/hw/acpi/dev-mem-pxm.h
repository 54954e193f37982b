/*
 * NUMA nodes for the coherent memory of a PCI device
 *
 * A device with memory of its own that is coherent with the CPUs, such as a
 * Grace Hopper class GPU, has its driver online that memory in NUMA nodes of
 * the guest.  The administrator creates these nodes empty; an object links them
 * to the device, and the ACPI tables tell the guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ACPI_DEV_MEM_PXM_H
#define HW_ACPI_DEV_MEM_PXM_H

#include "hw/acpi/pci-path.h"
#include "hw/boards.h"
#include "system/numa.h"

#define TYPE_DEV_MEM_PXM_ACPI "dev-mem-pxm-acpi"
OBJECT_DECLARE_TYPE(DevMemPxmAcpi, DevMemPxmAcpiClass, DEV_MEM_PXM_ACPI)

/**
 * DevMemPxmAcpi:
 * @devid: ID of the device
 * @nodeset: its nodes
 * @first_node: the first of them
 * @num_nodes: how many there are, one after the other
 * @numa: the machine's nodes, once complete() has accepted the object
 * @generic_initiator: the device is a generic initiator of each node
 * @warned: that it is without effect, as the device is gone
 */
struct DevMemPxmAcpi {
    Object parent_obj;

    char *devid;
    DECLARE_BITMAP(nodeset, MAX_NODES);
    uint32_t first_node;
    uint32_t num_nodes;
    NumaState *numa;
    bool generic_initiator;
    bool warned;
};

/**
 * DevMemPxmAcpiClass:
 * @add_properties: add what the device's driver looks for in the _DSD besides
 *     dev-mem-pxm-start and dev-mem-pxm-count.  Optional
 */
struct DevMemPxmAcpiClass {
    ObjectClass parent_class;

    void (*add_properties)(const DevMemPxmAcpi *dm, GPtrArray *properties);
};

/* The interface of machines whose ACPI tables tell the guest of the objects */
#define TYPE_DEV_MEM_PXM_ACPI_MACHINE "dev-mem-pxm-acpi-machine"
typedef struct DevMemPxmAcpiMachineClass DevMemPxmAcpiMachineClass;
DECLARE_CLASS_CHECKERS(DevMemPxmAcpiMachineClass, DEV_MEM_PXM_ACPI_MACHINE,
                       TYPE_DEV_MEM_PXM_ACPI_MACHINE)

struct DevMemPxmAcpiMachineClass {
    InterfaceClass parent_class;

    /* Has the machine been started with ACPI tables?  If not, sets @errp. */
    bool (*builds_tables)(MachineState *ms, Error **errp);

    /* Optional: The address of a node's boot memory, which is one range */
    hwaddr (*node_memory_base)(MachineState *ms, int node);
};

/**
 * dev_mem_pxm_acpi_device:
 * @dm: the object
 * @errp: gets an error if there is none
 *
 * Returns: the device of @dm, a PCI device that is no bridge, if it is plugged
 *     in, or %NULL
 */
PCIDevice *dev_mem_pxm_acpi_device(const DevMemPxmAcpi *dm, Error **errp);

/* For add_properties(): append a property of a _DSD to @properties */
void dev_mem_pxm_acpi_add_property(GPtrArray *properties, const char *name,
                                   uint64_t value);

/**
 * dev_mem_pxm_acpi_build_dsdt:
 * @dsdt: the DSDT under construction, with its host bridges already in it
 * @ms: the machine
 * @roots: the host bridges, as the DSDT names them
 *
 * Give the device of each object a _DSD with the object's proximity domains.
 * A device that has been unplugged is left out with a warning.
 */
void dev_mem_pxm_acpi_build_dsdt(Aml *dsdt, MachineState *ms,
                                 const AcpiPciRoots *roots);

#endif

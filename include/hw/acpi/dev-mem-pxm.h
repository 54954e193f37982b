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
 * @devid: id of the device
 * @nodeset: the nodes as given
 * @first_node: the first of them
 * @num_nodes: how many there are, one after the other
 * @numa: the machine's nodes, once complete() has accepted the object
 * @generic_initiator: the device is a generic initiator of each
 * @has_boot_node: that a subtype uses @boot_node
 * @boot_node: another node, which must have only boot memory
 * @warned: that the device is gone
 */
struct DevMemPxmAcpi {
    Object parent_obj;

    char *devid;
    uint32List *nodeset;
    uint32_t first_node;
    uint32_t num_nodes;
    NumaState *numa;
    bool generic_initiator;
    bool has_boot_node;
    uint32_t boot_node;
    bool warned;
};

/**
 * DevMemPxmAcpiClass:
 * @check: check the properties that a subtype adds.  Optional
 * @add_properties: add what the device's driver looks for in the _DSD besides
 *     dev-mem-pxm-start and dev-mem-pxm-count.  Optional
 */
struct DevMemPxmAcpiClass {
    ObjectClass parent_class;

    bool (*check)(const DevMemPxmAcpi *dm, MachineState *ms, Error **errp);
    void (*add_properties)(const DevMemPxmAcpi *dm, GPtrArray *properties);
};

/*
 * What a machine implements whose tables tell the guest of these objects: with
 * any other, an object would be without effect.
 */
#define TYPE_DEV_MEM_PXM_ACPI_MACHINE "dev-mem-pxm-acpi-machine"
typedef struct DevMemPxmAcpiMachineClass DevMemPxmAcpiMachineClass;
DECLARE_CLASS_CHECKERS(DevMemPxmAcpiMachineClass, DEV_MEM_PXM_ACPI_MACHINE,
                       TYPE_DEV_MEM_PXM_ACPI_MACHINE)

struct DevMemPxmAcpiMachineClass {
    InterfaceClass parent_class;

    /* As it has been started, does the machine give the guest ACPI tables? */
    bool (*builds_tables)(MachineState *ms);

    /*
     * The guest physical address of a node's boot memory.  Optional: only for
     * machines that keep it in one range.
     */
    hwaddr (*node_memory_base)(MachineState *ms, int node);
};

static inline uint32_t dev_mem_pxm_acpi_last_node(const DevMemPxmAcpi *dm)
{
    return dm->first_node + dm->num_nodes - 1;
}

void dev_mem_pxm_acpi_add_property(GPtrArray *properties, const char *name,
                                   uint64_t value);

/* The nodes as a user would write them, such as "2-9", to be freed */
char *dev_mem_pxm_acpi_nodeset_str(const DevMemPxmAcpi *dm);

/**
 * dev_mem_pxm_acpi_device:
 * @dm: the object
 * @errp: gets an error if there is none
 *
 * Returns: the device of @dm, a PCI device that is no bridge, if it is plugged
 *     in, or %NULL
 */
PCIDevice *dev_mem_pxm_acpi_device(DevMemPxmAcpi *dm, Error **errp);

/**
 * dev_mem_pxm_acpi_check:
 * @dm: an object that complete() has accepted
 * @errp: gets an error if it does not fit
 *
 * Returns: %true if @dm fits the machine, which is ready.
 */
bool dev_mem_pxm_acpi_check(DevMemPxmAcpi *dm, Error **errp);

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

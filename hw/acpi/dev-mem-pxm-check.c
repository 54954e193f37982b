/*
 * NUMA nodes for the coherent memory of a PCI device: does an object fit the
 * machine?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "hw/acpi/dev-mem-pxm.h"
#include "hw/pci/pci_bridge.h"
#include "system/runstate.h"

static Object *plugged_device(DevMemPxmAcpi *dm)
{
    Object *dev;

    dev = object_resolve_path_component(machine_get_container("peripheral"),
                                        dm->devid);
    /* One that is not realized is on no bus, be it on its way in or out */
    return dev && qdev_is_realized(DEVICE(dev)) ? dev : NULL;
}

PCIDevice *dev_mem_pxm_acpi_device(DevMemPxmAcpi *dm, Error **errp)
{
    ERRP_GUARD();
    Object *dev = plugged_device(dm);

    if (!dev) {
        error_setg(errp, "devid=%s: there is no such device", dm->devid);
        error_append_hint(errp, "Give id=%s to the -device option of the "
                          "device that is meant. A failover primary can't be "
                          "used: it is hidden at start.\n",
                          dm->devid);
        return NULL;
    }
    if (!object_dynamic_cast(dev, TYPE_PCI_DEVICE)) {
        error_setg(errp, "devid=%s: this %s is not a PCI device", dm->devid,
                   object_get_typename(dev));
        error_append_hint(errp, "Give the id of a PCI device.\n");
        return NULL;
    }
    /* A PCI expander bridge is a host bridge, the others are PCI bridges */
    if (IS_PCI_BRIDGE(dev) ||
        PCI_DEVICE_GET_CLASS(dev)->class_id == PCI_CLASS_BRIDGE_HOST) {
        error_setg(errp, "devid=%s: this %s is a PCI bridge", dm->devid,
                   object_get_typename(dev));
        error_append_hint(errp, "Give the id of the device behind it.\n");
        return NULL;
    }
    return PCI_DEVICE(dev);
}

/* Is there an initiator other than the object itself? */
static bool has_other_initiator(const NodeInfo *info)
{
    GSList *l = info->generic_initiators;

    return l && (l->data != info->owner || l->next);
}

static bool check_node(const DevMemPxmAcpi *dm, uint32_t node, int num_nodes,
                       const char *nodeset, Error **errp)
{
    ERRP_GUARD();
    const NodeInfo *info = &dm->numa->nodes[node];

    if (!info->present) {
        error_setg(errp, "nodeset=%s: the machine has no node %u, only 0-%d",
                   nodeset, node, num_nodes - 1);
        error_append_hint(errp, "Add -numa node,nodeid=%u or leave it out.\n",
                          node);
        return false;
    }
    if (info->node_mem) {
        g_autofree char *size = size_to_str(info->node_mem);

        error_setg(errp, "nodeset=%s: node %u has memory (%s)", nodeset, node,
                   size);
        error_append_hint(errp, "Take a node without mem= or memdev=.\n");
        return false;
    }
    if (info->memory_devices) {
        error_setg(errp, "nodeset=%s: node %u has a memory device", nodeset,
                   node);
        error_append_hint(errp, "Unplug it, or take another node.\n");
        return false;
    }
    if (info->has_cpu) {
        error_setg(errp, "nodeset=%s: node %u has CPUs", nodeset, node);
        error_append_hint(errp, "Assign all CPUs to other nodes, "
                          "with -numa node,cpus= or -numa cpu.\n");
        return false;
    }
    if (info->generic_ports) {
        error_setg(errp, "nodeset=%s: node %u belongs to an acpi-generic-port",
                   nodeset, node);
        error_append_hint(errp, "Take another node.\n");
        return false;
    }
    if (dm->generic_initiator && has_other_initiator(info)) {
        error_setg(errp, "generic-initiator=on: node %u belongs to an "
                   "acpi-generic-initiator already", node);
        error_append_hint(errp, "Delete that object, or give "
                          "generic-initiator=off.\n");
        return false;
    }
    return true;
}

static bool check_nodes(const DevMemPxmAcpi *dm, MachineState *ms, Error **errp)
{
    ERRP_GUARD();
    g_autofree char *nodeset = dev_mem_pxm_acpi_nodeset_str(dm);
    uint32_t last = dev_mem_pxm_acpi_last_node(dm);

    if (!ms->numa_state->num_nodes) {
        error_setg(errp, "nodeset=%s: the machine has no NUMA nodes", nodeset);
        error_append_hint(errp, "Create them with -numa node.\n");
        return false;
    }
    for (uint32_t i = dm->first_node; i <= last; i++) {
        if (!check_node(dm, i, ms->numa_state->num_nodes, nodeset, errp)) {
            return false;
        }
    }
    return true;
}

bool dev_mem_pxm_acpi_check(DevMemPxmAcpi *dm, Error **errp)
{
    ERRP_GUARD();
    DevMemPxmAcpiClass *dmc = DEV_MEM_PXM_ACPI_GET_CLASS(dm);
    MachineState *ms = MACHINE(qdev_get_machine());
    /* It may have been unplugged where the machine comes from */
    bool may_be_gone = runstate_check(RUN_STATE_INMIGRATE);

    if (!DEV_MEM_PXM_ACPI_MACHINE_GET_CLASS(ms)->builds_tables(ms)) {
        error_setg(errp, "machine %s has been started without ACPI tables",
                   MACHINE_GET_CLASS(ms)->name);
        error_append_hint(errp, "Start it with acpi=on, and with firmware if "
                          "it has -kernel.\n");
        return false;
    }
    if (!(may_be_gone && !plugged_device(dm)) &&
        !dev_mem_pxm_acpi_device(dm, errp)) {
        return false;
    }
    return check_nodes(dm, ms, errp) &&
           (!dmc->check || dmc->check(dm, ms, errp));
}

/*
 * NUMA nodes for the memory of an NVIDIA GPU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qom/object_interfaces.h"
#include "hw/acpi/dev-mem-pxm.h"

#define TYPE_NVIDIA_GPU_MEM_ACPI "nvidia-gpu-mem-acpi"

/*
 * What NVIDIA's open kernel driver reads.  It would also read the physical
 * address of the GPU's own memory, which a VM must not give: without it the
 * driver takes the address from the BAR.
 */
static void nvidia_gpu_mem_acpi_add_properties(const DevMemPxmAcpi *dm,
                                               GPtrArray *properties)
{
    dev_mem_pxm_acpi_add_property(properties, "nvidia,gpu-mem-pxm-start",
                                  dm->first_node);
    dev_mem_pxm_acpi_add_property(properties, "nvidia,gpu-mem-pxm-count",
                                  dm->num_nodes);
    if (dm->has_boot_node) {
        MachineState *ms = MACHINE(qdev_get_machine());
        DevMemPxmAcpiMachineClass *dmmc =
            DEV_MEM_PXM_ACPI_MACHINE_GET_CLASS(ms);

        dev_mem_pxm_acpi_add_property(properties, "nvidia,egm-pxm",
                                      dm->boot_node);
        dev_mem_pxm_acpi_add_property(properties, "nvidia,egm-base-pa",
            dmmc->node_memory_base(ms, dm->boot_node));
        dev_mem_pxm_acpi_add_property(properties, "nvidia,egm-size",
            dm->numa->nodes[dm->boot_node].node_mem);
    }
}

static bool nvidia_gpu_mem_acpi_check(const DevMemPxmAcpi *dm, MachineState *ms,
                                      Error **errp)
{
    ERRP_GUARD();
    uint32_t node = dm->boot_node;

    if (!dm->has_boot_node) {
        return true;
    }
    if (!DEV_MEM_PXM_ACPI_MACHINE_GET_CLASS(ms)->node_memory_base) {
        error_setg(errp, "egm-node=%u: this machine can have the memory of a "
                   "node in several pieces", node);
        error_append_hint(errp, "Use virt of Arm, or leave egm-node out.\n");
        return false;
    }
    if (node >= MAX_NODES || !dm->numa->nodes[node].node_mem) {
        error_setg(errp, "egm-node=%u: there is no such node with memory",
                   node);
        error_append_hint(errp, "Take a node with memdev=.\n");
        return false;
    }
    /* The driver allocates from the node, and takes all of it for EGM */
    if (dm->numa->nodes[node].memory_devices) {
        error_setg(errp, "egm-node=%u: this node has a memory device", node);
        error_append_hint(errp, "Unplug it, or take another node.\n");
        return false;
    }
    return true;
}

static void nvidia_gpu_mem_acpi_get_egm_node(Object *obj, Visitor *v,
                                             const char *name, void *opaque,
                                             Error **errp)
{
    DevMemPxmAcpi *dm = DEV_MEM_PXM_ACPI(obj);
    uint32_t node = dm->has_boot_node ? dm->boot_node : NUMA_NODE_UNASSIGNED;

    visit_type_uint32(v, name, &node, errp);
}

static void nvidia_gpu_mem_acpi_set_egm_node(Object *obj, Visitor *v,
                                             const char *name, void *opaque,
                                             Error **errp)
{
    DevMemPxmAcpi *dm = DEV_MEM_PXM_ACPI(obj);

    if (user_creatable_check_settable(USER_CREATABLE(obj), dm->numa, name,
                                      errp) &&
        visit_type_uint32(v, name, &dm->boot_node, errp)) {
        dm->has_boot_node = true;
    }
}

static void nvidia_gpu_mem_acpi_class_init(ObjectClass *oc, void *data)
{
    DevMemPxmAcpiClass *dmc = DEV_MEM_PXM_ACPI_CLASS(oc);

    dmc->check = nvidia_gpu_mem_acpi_check;
    dmc->add_properties = nvidia_gpu_mem_acpi_add_properties;

    object_class_property_add(oc, "egm-node", "uint32",
                              nvidia_gpu_mem_acpi_get_egm_node,
                              nvidia_gpu_mem_acpi_set_egm_node, NULL, NULL);
    object_class_property_set_description(oc, "egm-node",
        "NUMA node whose memory is Extended GPU Memory");
}

static const TypeInfo nvidia_gpu_mem_acpi_types[] = {
    {
        .name = TYPE_NVIDIA_GPU_MEM_ACPI,
        .parent = TYPE_DEV_MEM_PXM_ACPI,
        .class_init = nvidia_gpu_mem_acpi_class_init,
    },
};

DEFINE_TYPES(nvidia_gpu_mem_acpi_types)

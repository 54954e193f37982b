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
OBJECT_DECLARE_SIMPLE_TYPE(NvidiaGpuMemAcpi, NVIDIA_GPU_MEM_ACPI)

struct NvidiaGpuMemAcpi {
    DevMemPxmAcpi parent_obj;

    bool has_egm_node;
    uint32_t egm_node;
    NodeInfo *egm_info;         /* of @egm_node, which counts this object */
};

static UserCreatableClass *parent_class;

/*
 * What NVIDIA's open kernel driver reads.  It would also read the physical
 * address of the GPU's own memory, which a VM must not give: without it the
 * driver takes the address from the BAR.
 */
static void nvidia_gpu_mem_acpi_add_properties(const DevMemPxmAcpi *dm,
                                               GPtrArray *properties)
{
    const NvidiaGpuMemAcpi *gm = NVIDIA_GPU_MEM_ACPI(dm);

    dev_mem_pxm_acpi_add_property(properties, "nvidia,gpu-mem-pxm-start",
                                  dm->first_node);
    dev_mem_pxm_acpi_add_property(properties, "nvidia,gpu-mem-pxm-count",
                                  dm->num_nodes);
    if (gm->has_egm_node) {
        MachineState *ms = MACHINE(qdev_get_machine());
        DevMemPxmAcpiMachineClass *dmmc =
            DEV_MEM_PXM_ACPI_MACHINE_GET_CLASS(ms);

        dev_mem_pxm_acpi_add_property(properties, "nvidia,egm-pxm",
                                      gm->egm_node);
        dev_mem_pxm_acpi_add_property(properties, "nvidia,egm-base-pa",
            dmmc->node_memory_base(ms, gm->egm_node));
        dev_mem_pxm_acpi_add_property(properties, "nvidia,egm-size",
                                      gm->egm_info->node_mem);
    }
}

static void nvidia_gpu_mem_acpi_complete(UserCreatable *uc, Error **errp)
{
    NvidiaGpuMemAcpi *gm = NVIDIA_GPU_MEM_ACPI(uc);
    NumaState *numa = MACHINE(qdev_get_machine())->numa_state;

    if (gm->has_egm_node && numa && gm->egm_node < MAX_NODES) {
        gm->egm_info = &numa->nodes[gm->egm_node];
        gm->egm_info->egm_users++;
    }
    parent_class->complete(uc, errp);
}

static bool check_egm_node(const NvidiaGpuMemAcpi *gm, Error **errp)
{
    ERRP_GUARD();
    MachineState *ms = MACHINE(qdev_get_machine());

    if (!DEV_MEM_PXM_ACPI_MACHINE_GET_CLASS(ms)->node_memory_base) {
        error_setg(errp, "egm-node=%u: this machine can have the memory of a "
                   "node in several pieces", gm->egm_node);
        error_append_hint(errp, "Leave egm-node out.\n");
        return false;
    }
    if (!gm->egm_info || !gm->egm_info->node_mem) {
        error_setg(errp, "egm-node=%u: there is no such node with memory",
                   gm->egm_node);
        error_append_hint(errp, "Take a node with memdev=.\n");
        return false;
    }
    /* The driver allocates from the node, and takes all of it for EGM */
    if (gm->egm_info->memory_devices) {
        error_setg(errp, "egm-node=%u: this node has a memory device",
                   gm->egm_node);
        error_append_hint(errp, "Unplug it, or take another node.\n");
        return false;
    }
    return true;
}

static bool nvidia_gpu_mem_acpi_machine_ready(UserCreatable *uc, Error **errp)
{
    NvidiaGpuMemAcpi *gm = NVIDIA_GPU_MEM_ACPI(uc);

    return parent_class->machine_ready(uc, errp) &&
           (!gm->has_egm_node || check_egm_node(gm, errp));
}

static void nvidia_gpu_mem_acpi_get_egm_node(Object *obj, Visitor *v,
                                             const char *name, void *opaque,
                                             Error **errp)
{
    visit_type_uint32(v, name, &NVIDIA_GPU_MEM_ACPI(obj)->egm_node, errp);
}

static void nvidia_gpu_mem_acpi_set_egm_node(Object *obj, Visitor *v,
                                             const char *name, void *opaque,
                                             Error **errp)
{
    NvidiaGpuMemAcpi *gm = NVIDIA_GPU_MEM_ACPI(obj);

    if (machine_object_check_settable(obj, name, errp) &&
        visit_type_uint32(v, name, &gm->egm_node, errp)) {
        gm->has_egm_node = true;
    }
}

static void nvidia_gpu_mem_acpi_init(Object *obj)
{
    NVIDIA_GPU_MEM_ACPI(obj)->egm_node = NUMA_NODE_UNASSIGNED;
}

static void nvidia_gpu_mem_acpi_finalize(Object *obj)
{
    NvidiaGpuMemAcpi *gm = NVIDIA_GPU_MEM_ACPI(obj);

    if (gm->egm_info) {
        gm->egm_info->egm_users--;
    }
}

static void nvidia_gpu_mem_acpi_class_init(ObjectClass *oc, void *data)
{
    UserCreatableClass *ucc = USER_CREATABLE_CLASS(oc);

    DEV_MEM_PXM_ACPI_CLASS(oc)->add_properties =
        nvidia_gpu_mem_acpi_add_properties;

    parent_class = USER_CREATABLE_CLASS(object_class_get_parent(oc));
    ucc->complete = nvidia_gpu_mem_acpi_complete;
    ucc->machine_ready = nvidia_gpu_mem_acpi_machine_ready;

    object_class_property_add(oc, "egm-node", "int",
                              nvidia_gpu_mem_acpi_get_egm_node,
                              nvidia_gpu_mem_acpi_set_egm_node, NULL, NULL);
    object_class_property_set_description(oc, "egm-node",
        "NUMA node whose memory is Extended GPU Memory");
}

static const TypeInfo nvidia_gpu_mem_acpi_types[] = {
    {
        .name = TYPE_NVIDIA_GPU_MEM_ACPI,
        .parent = TYPE_DEV_MEM_PXM_ACPI,
        .instance_size = sizeof(NvidiaGpuMemAcpi),
        .instance_init = nvidia_gpu_mem_acpi_init,
        .instance_finalize = nvidia_gpu_mem_acpi_finalize,
        .class_init = nvidia_gpu_mem_acpi_class_init,
    },
};

DEFINE_TYPES(nvidia_gpu_mem_acpi_types)

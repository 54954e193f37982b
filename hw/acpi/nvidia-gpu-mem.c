/*
 * NUMA nodes for the memory of an NVIDIA GPU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/acpi/dev-mem-pxm.h"

/*
 * What NVIDIA's open kernel driver reads.  There is a third property, the
 * memory's physical address, which a VM must not give: without it the driver
 * takes the address from the BAR.
 */
static const DevMemPxmNames nvidia_names = {
    .pxm_start = "nvidia,gpu-mem-pxm-start",
    .pxm_count = "nvidia,gpu-mem-pxm-count",
};

static void nvidia_gpu_mem_acpi_class_init(ObjectClass *oc, void *data)
{
    DEV_MEM_PXM_ACPI_CLASS(oc)->vendor_names = &nvidia_names;
}

static const TypeInfo nvidia_gpu_mem_acpi_types[] = {
    {
        .name = "nvidia-gpu-mem-acpi",
        .parent = TYPE_DEV_MEM_PXM_ACPI,
        .class_init = nvidia_gpu_mem_acpi_class_init,
    },
};

DEFINE_TYPES(nvidia_gpu_mem_acpi_types)

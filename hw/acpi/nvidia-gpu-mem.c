/*
 * NUMA nodes for the memory of an NVIDIA GPU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/acpi/base-compat.h"
#include "hw/acpi/pci-dev-mem.h"

#define TYPE_NVIDIA_GPU_MEM_ACPI "nvidia-gpu-mem-acpi"

static void nvidia_gpu_mem_acpi_class_init(ObjectClass *oc,
                                           ClassInitData *data)
{
    PciDevMemAcpiClass *dmc = PCI_DEV_MEM_ACPI_CLASS(oc);

    /*
     * What NVIDIA's open kernel driver reads.  There is a third property, the
     * memory's physical address, which a VM must not give: without it the
     * driver takes the address from the BAR.
     */
    dmc->driver_names = (PciDevMemNames) {
        .pxm_start = "nvidia,gpu-mem-pxm-start",
        .pxm_count = "nvidia,gpu-mem-pxm-count",
    };
}

static const TypeInfo nvidia_gpu_mem_acpi_types[] = {
    {
        .name = TYPE_NVIDIA_GPU_MEM_ACPI,
        .parent = TYPE_PCI_DEV_MEM_ACPI,
        .class_init = nvidia_gpu_mem_acpi_class_init,
    },
};

DEFINE_TYPES(nvidia_gpu_mem_acpi_types)

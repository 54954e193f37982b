/*
 * A PCI device with memory: a stand-in for a GPU in front of a guest's driver
 *
 * The layout is in docs/specs/gpu-mem-testdev.rst
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/host-utils.h"
#include "qemu/log.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/qdev-properties.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pcie.h"
#include "migration/vmstate.h"
#include "qom/object.h"
#include "system/hostmem.h"

#define TYPE_GPU_MEM_TESTDEV "gpu-mem-testdev"
OBJECT_DECLARE_SIMPLE_TYPE(GpuMemTestdev, GPU_MEM_TESTDEV)

/* After that of "edu"; see docs/specs/pci-ids.rst */
#define GPU_MEM_TESTDEV_DEVICE_ID 0x11ea

#define NUM_VECTORS 4

/* BAR0: the registers, and in its last page the tables of MSI-X */
#define BAR0_SIZE (256 * KiB)
#define MSIX_TABLE_OFFSET 0x3f000
#define MSIX_PBA_OFFSET 0x3f800

enum {
    REG_RAISE = 0x0,
    REG_STATUS = 0x4,
    REG_ACK = 0x8,
    /* Of NVIDIA's GPUs; Linux' nvgrace-gpu waits until both are ready */
    REG_C2C_LINK_STATUS = 0x1498,
    REG_HBM_TRAINING_STATUS = 0x200bc,
};

#define STATUS_READY 0xff

/* The BARs with memory are those of Linux' nvgrace-gpu */
enum {
    MEM,
    RESMEM,
    NUM_MEM_BARS
};

static const struct {
    const char *property;
    int bar;
} mem_bars[NUM_MEM_BARS] = {
    [MEM] = { "memdev", 4 },
    [RESMEM] = { "resmemdev", 2 },
};

struct GpuMemTestdev {
    PCIDevice parent_obj;

    uint16_t vendor_id;
    uint16_t device_id;
    uint16_t sub_vendor_id;
    uint16_t sub_device_id;
    HostMemoryBackend *backend[NUM_MEM_BARS];   /* RESMEM: may be NULL */

    MemoryRegion bar0;
    MemoryRegion regs;
    uint32_t status;        /* a bit for each vector */
};

static void raise_vector(GpuMemTestdev *s, uint64_t vector)
{
    PCIDevice *pdev = PCI_DEVICE(s);

    if (vector >= NUM_VECTORS) {
        qemu_log_mask(LOG_GUEST_ERROR, "%s: there is no vector %" PRIu64 "\n",
                      TYPE_GPU_MEM_TESTDEV, vector);
        return;
    }
    s->status |= 1 << vector;
    if (msix_enabled(pdev)) {
        msix_notify(pdev, vector);
    } else {
        pci_irq_assert(pdev);
    }
}

static void ack_vectors(GpuMemTestdev *s, uint64_t vectors)
{
    s->status &= ~vectors;
    if (!s->status) {
        pci_irq_deassert(PCI_DEVICE(s));
    }
}

static uint64_t regs_read(void *opaque, hwaddr addr, unsigned size)
{
    GpuMemTestdev *s = opaque;

    switch (addr) {
    case REG_STATUS:
        return s->status;
    case REG_C2C_LINK_STATUS:
    case REG_HBM_TRAINING_STATUS:
        return s->vendor_id == PCI_VENDOR_ID_NVIDIA ? STATUS_READY : 0;
    default:
        return 0;
    }
}

static void regs_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    GpuMemTestdev *s = opaque;

    switch (addr) {
    case REG_RAISE:
        raise_vector(s, value);
        break;
    case REG_ACK:
        ack_vectors(s, value);
        break;
    default:
        qemu_log_mask(LOG_GUEST_ERROR,
                      "%s: register 0x%" HWADDR_PRIx " can't be written\n",
                      TYPE_GPU_MEM_TESTDEV, addr);
    }
}

static const MemoryRegionOps regs_ops = {
    .read = regs_read,
    .write = regs_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid.min_access_size = 4,
    .valid.max_access_size = 4,
};

static const char *backend_id(HostMemoryBackend *backend)
{
    return object_get_canonical_path_component(OBJECT(backend));
}

static bool check_backend(GpuMemTestdev *s, int i, Error **errp)
{
    ERRP_GUARD();
    const char *property = mem_bars[i].property;
    HostMemoryBackend *backend = s->backend[i];
    uint64_t size;

    if (host_memory_backend_is_mapped(backend)) {
        error_setg(errp, "%s=%s: the backend is in use already", property,
                   backend_id(backend));
        error_append_hint(errp, "Create another one.\n");
        return false;
    }
    size = memory_region_size(host_memory_backend_get_memory(backend));
    /* PCI has smaller BARs, but a guest can't map less than a page */
    if (!is_power_of_2(size) || size < 4 * KiB) {
        error_setg(errp, "%s=%s: the backend has %" PRIu64 " bytes, but the "
                   "size of a BAR is a power of two, here at least 4096",
                   property, backend_id(backend), size);
        error_append_hint(errp, "Give the backend size=%" PRIu64 ".\n",
                          MAX(pow2ceil(size), 4 * KiB));
        return false;
    }
    return true;
}

static bool check_backends(GpuMemTestdev *s, Error **errp)
{
    ERRP_GUARD();

    if (!s->backend[MEM]) {
        error_setg(errp, "memdev: it is not set");
        error_append_hint(errp, "Create the memory, such as with "
                          "-object memory-backend-ram, and give its id.\n");
        return false;
    }
    if (s->backend[RESMEM] == s->backend[MEM]) {
        error_setg(errp, "resmemdev=%s: memdev is this backend too",
                   backend_id(s->backend[RESMEM]));
        error_append_hint(errp, "Create another one.\n");
        return false;
    }
    return check_backend(s, MEM, errp) &&
        (!s->backend[RESMEM] || check_backend(s, RESMEM, errp));
}

static void set_ids(GpuMemTestdev *s)
{
    uint8_t *config = PCI_DEVICE(s)->config;

    pci_config_set_vendor_id(config, s->vendor_id);
    pci_config_set_device_id(config, s->device_id);
    pci_set_word(config + PCI_SUBSYSTEM_VENDOR_ID, s->sub_vendor_id);
    pci_set_word(config + PCI_SUBSYSTEM_ID, s->sub_device_id);
}

static void gpu_mem_testdev_realize(PCIDevice *pdev, Error **errp)
{
    ERRP_GUARD();
    GpuMemTestdev *s = GPU_MEM_TESTDEV(pdev);

    if (!check_backends(s, errp)) {
        g_autofree char *name = qdev_get_human_name(DEVICE(s));

        error_prepend(errp, "%s device '%s': ", TYPE_GPU_MEM_TESTDEV, name);
        return;
    }

    set_ids(s);
    pci_config_set_interrupt_pin(pdev->config, 1);
    if (pci_bus_is_express(pci_get_bus(pdev))) {
        pcie_endpoint_cap_init(pdev, 0);
    }

    memory_region_init(&s->bar0, OBJECT(s), "gpu-mem-testdev-bar0",
                       BAR0_SIZE);
    memory_region_init_io(&s->regs, OBJECT(s), &regs_ops, s,
                          "gpu-mem-testdev-regs", MSIX_TABLE_OFFSET);
    memory_region_add_subregion(&s->bar0, 0, &s->regs);
    pci_register_bar(pdev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->bar0);

    /* It fails on a machine without MSI: the device then has INTx alone */
    if (!msix_init(pdev, NUM_VECTORS, &s->bar0, 0, MSIX_TABLE_OFFSET,
                   &s->bar0, 0, MSIX_PBA_OFFSET, 0, NULL)) {
        for (int i = 0; i < NUM_VECTORS; i++) {
            msix_vector_use(pdev, i);
        }
    }

    for (int i = 0; i < NUM_MEM_BARS; i++) {
        if (s->backend[i]) {
            MemoryRegion *mr = host_memory_backend_get_memory(s->backend[i]);

            host_memory_backend_set_mapped(s->backend[i], true);
            vmstate_register_ram(mr, DEVICE(s));
            pci_register_bar(pdev, mem_bars[i].bar,
                             PCI_BASE_ADDRESS_SPACE_MEMORY |
                             PCI_BASE_ADDRESS_MEM_PREFETCH |
                             PCI_BASE_ADDRESS_MEM_TYPE_64, mr);
        }
    }
}

static void gpu_mem_testdev_exit(PCIDevice *pdev)
{
    GpuMemTestdev *s = GPU_MEM_TESTDEV(pdev);

    for (int i = 0; i < NUM_MEM_BARS; i++) {
        if (s->backend[i]) {
            MemoryRegion *mr = host_memory_backend_get_memory(s->backend[i]);

            vmstate_unregister_ram(mr, DEVICE(s));
            host_memory_backend_set_mapped(s->backend[i], false);
        }
    }
    msix_uninit(pdev, &s->bar0, &s->bar0);
    /* In BAR0 the registers hold a reference to the device */
    memory_region_del_subregion(&s->bar0, &s->regs);
}

/* PCI's own part of a reset lowers INTx and disables MSI-X */
static void gpu_mem_testdev_reset_hold(Object *obj, ResetType type)
{
    GPU_MEM_TESTDEV(obj)->status = 0;
}

static void gpu_mem_testdev_init(Object *obj)
{
    /* A hybrid device says itself that its config space is the long one */
    PCI_DEVICE(obj)->cap_present |= QEMU_PCI_CAP_EXPRESS;
}

static const VMStateDescription gpu_mem_testdev_vmstate = {
    .name = TYPE_GPU_MEM_TESTDEV,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, GpuMemTestdev),
        VMSTATE_MSIX(parent_obj, GpuMemTestdev),
        VMSTATE_UINT32(status, GpuMemTestdev),
        VMSTATE_END_OF_LIST()
    },
};

static const Property gpu_mem_testdev_properties[] = {
    DEFINE_PROP_LINK("memdev", GpuMemTestdev, backend[MEM],
                     TYPE_MEMORY_BACKEND, HostMemoryBackend *),
    DEFINE_PROP_LINK("resmemdev", GpuMemTestdev, backend[RESMEM],
                     TYPE_MEMORY_BACKEND, HostMemoryBackend *),
    DEFINE_PROP_UINT16("vendor-id", GpuMemTestdev, vendor_id,
                       PCI_VENDOR_ID_QEMU),
    DEFINE_PROP_UINT16("device-id", GpuMemTestdev, device_id,
                       GPU_MEM_TESTDEV_DEVICE_ID),
    DEFINE_PROP_UINT16("sub-vendor-id", GpuMemTestdev, sub_vendor_id,
                       PCI_SUBVENDOR_ID_REDHAT_QUMRANET),
    DEFINE_PROP_UINT16("sub-device-id", GpuMemTestdev, sub_device_id,
                       PCI_SUBDEVICE_ID_QEMU),
};

static void gpu_mem_testdev_class_init(ObjectClass *oc, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(oc);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(oc);
    ResettableClass *rc = RESETTABLE_CLASS(oc);

    pc->realize = gpu_mem_testdev_realize;
    pc->exit = gpu_mem_testdev_exit;
    pc->class_id = PCI_CLASS_DISPLAY_3D;
    rc->phases.hold = gpu_mem_testdev_reset_hold;
    dc->desc = "Stand-in for a GPU with memory, to test guest drivers";
    dc->vmsd = &gpu_mem_testdev_vmstate;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_props(dc, gpu_mem_testdev_properties);
    object_class_property_set_description(oc, "memdev",
        "Memory backend whose memory is BAR4");
    object_class_property_set_description(oc, "resmemdev",
        "Memory backend whose memory is BAR2");
}

static const TypeInfo gpu_mem_testdev_types[] = {
    {
        .name = TYPE_GPU_MEM_TESTDEV,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(GpuMemTestdev),
        .instance_init = gpu_mem_testdev_init,
        .class_init = gpu_mem_testdev_class_init,
        .interfaces = (InterfaceInfo[]) {
            { INTERFACE_PCIE_DEVICE },
            { INTERFACE_CONVENTIONAL_PCI_DEVICE },
            { }
        },
    },
};

DEFINE_TYPES(gpu_mem_testdev_types)

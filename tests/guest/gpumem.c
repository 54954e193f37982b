// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stand-in for the driver of a GPU with coherent memory, for guest tests.
 *
 * QEMU's gpu-mem-testdev plays the GPU: its BAR4 is memory that the guest can
 * use.  The driver learns from the device's _DSD which proximity domains are
 * the GPU's own.  It splits the memory into equal partitions and adds each to
 * the NUMA node of one domain: as many as the module's parameter "partitions"
 * says, then as many as are written to the device's attribute of that name.
 * The number of a vector, written to the attribute "interrupt", has the device
 * raise it: that fails unless the interrupt arrives.
 */
#include <linux/acpi.h>
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/log2.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/numa.h>
#include <linux/pci.h>
#include <linux/pfn.h>
#include <linux/property.h>

#define GPUMEM_VENDOR 0x1234
#define GPUMEM_DEVICE 0x11ea
#define GPUMEM_BAR 4
#define GPUMEM_MAX_PARTITIONS 8
#define GPUMEM_VECTORS 4
/* Registers in BAR0 */
#define GPUMEM_RAISE 0x0
#define GPUMEM_ACK 0x8

static unsigned int partitions = 1;
module_param(partitions, uint, 0444);
MODULE_PARM_DESC(partitions, "how many each GPU has at first: 0, 1, 2, 4, 8");

static unsigned long size_mb;
module_param(size_mb, ulong, 0444);
MODULE_PARM_DESC(size_mb, "MiB of each GPU's BAR4 that are memory; 0: all");

struct gpumem_range {
    u64 start;
    u64 count;
};

/* A GPU; the partitions change under the lock */
struct gpumem {
    struct device *dev;
    struct mutex lock;
    struct gpumem_range domains;
    u64 start;                  /* of the memory: its physical address */
    u64 size;                   /* in bytes */
    unsigned int partitions;
};

static int gpumem_read(struct device *dev, const char *name, u64 *value)
{
    int ret = device_property_read_u64(dev, name, value);

    if (ret) {
        dev_err(dev, "no property %s (error %d)\n", name, ret);
        return -ENODEV;
    }
    dev_info(dev, "%s = %llu\n", name, *value);
    return 0;
}

/*
 * The general names are what this driver goes by.  NVIDIA's released drivers
 * know only their own: where the firmware gives these too, they must agree.
 */
static int gpumem_read_range(struct device *dev, struct gpumem_range *range)
{
    struct gpumem_range vendor;
    bool bad = false;

    /* Read all before giving up, so that the log names every fault. */
    bad |= gpumem_read(dev, "dev-mem-pxm-start", &range->start) != 0;
    bad |= gpumem_read(dev, "dev-mem-pxm-count", &range->count) != 0;
    vendor = *range;
    if (device_property_present(dev, "nvidia,gpu-mem-pxm-start")) {
        bad |= gpumem_read(dev, "nvidia,gpu-mem-pxm-start",
                           &vendor.start) != 0;
        bad |= gpumem_read(dev, "nvidia,gpu-mem-pxm-count",
                           &vendor.count) != 0;
    }
    if (bad) {
        return -ENODEV;
    }

    if (range->start != vendor.start || range->count != vendor.count) {
        dev_err(dev, "the two pairs of properties differ\n");
        return -EINVAL;
    }
    if (!range->count || range->start >= MAX_PXM_DOMAINS ||
        range->count > MAX_PXM_DOMAINS - range->start) {
        dev_err(dev, "no such range of proximity domains\n");
        return -EINVAL;
    }
    return 0;
}

/*
 * Extended GPU Memory is RAM of the guest: where the firmware names some, all of
 * it must be in the node of its domain.
 */
static int gpumem_check_egm(struct device *dev)
{
    u64 pxm, base, size, at;

    if (!device_property_present(dev, "nvidia,egm-pxm")) {
        return 0;
    }
    if (gpumem_read(dev, "nvidia,egm-pxm", &pxm) ||
        gpumem_read(dev, "nvidia,egm-base-pa", &base) ||
        gpumem_read(dev, "nvidia,egm-size", &size)) {
        return -ENODEV;
    }
    for (at = base; at < base + size; at += memory_block_size_bytes()) {
        if (!pfn_valid(PFN_DOWN(at)) ||
            pfn_to_nid(PFN_DOWN(at)) != pxm_to_node(pxm)) {
            dev_err(dev, "0x%llx is not in the node of pxm %llu\n", at, pxm);
            return -EINVAL;
        }
    }
    return 0;
}

/* Every domain must have a node, not just those that get memory now. */
static int gpumem_map_nodes(struct device *dev,
                            const struct gpumem_range *range)
{
    bool bad = false;
    u64 i;

    for (i = 0; i < range->count; i++) {
        int pxm = range->start + i;
        int node = pxm_to_node(pxm);

        if (node == NUMA_NO_NODE) {
            dev_err(dev, "pxm %d has no node\n", pxm);
            bad = true;
        } else {
            dev_info(dev, "pxm %d -> node %d\n", pxm, node);
        }
    }
    return bad ? -EINVAL : 0;
}

/* The device handle of a generic initiator: ACPI 6.5, table 5.65 */
static bool gpumem_is_handle(struct pci_dev *pdev,
                             const struct acpi_srat_generic_affinity *entry)
{
    const u8 *handle = entry->device_handle;

    return (entry->flags & ACPI_SRAT_GENERIC_AFFINITY_ENABLED) &&
           entry->device_handle_type == 1 &&
           (handle[0] | handle[1] << 8) == pci_domain_nr(pdev->bus) &&
           handle[2] == pdev->bus->number && handle[3] == pdev->devfn;
}

/*
 * Some drivers look for their domains among the generic initiators of the SRAT
 * that have the device's address.  Where it has any, they must be the same.
 */
static int gpumem_check_initiators(struct pci_dev *pdev,
                                   const struct gpumem_range *range)
{
    struct device *dev = &pdev->dev;
    struct acpi_table_header *srat;
    struct acpi_subtable_header *entry;
    void *end;
    u64 found = 0;
    bool bad = false;

    if (ACPI_FAILURE(acpi_get_table(ACPI_SIG_SRAT, 0, &srat))) {
        return 0;
    }
    end = (void *)srat + srat->length;
    for (entry = (void *)srat + sizeof(struct acpi_table_srat);
         (void *)(entry + 1) <= end && entry->length;
         entry = (void *)entry + entry->length) {
        struct acpi_srat_generic_affinity *initiator = (void *)entry;
        u32 pxm;

        if (entry->type != ACPI_SRAT_TYPE_GENERIC_AFFINITY ||
            !gpumem_is_handle(pdev, initiator)) {
            continue;
        }
        pxm = initiator->proximity_domain;
        dev_info(dev, "initiator %u -> node %d\n", pxm, pxm_to_node(pxm));
        bad |= pxm != range->start + found;
        found++;
    }
    acpi_put_table(srat);
    if (bad || (found && found != range->count)) {
        dev_err(dev, "the initiators are not the domains of the _DSD\n");
        return -EINVAL;
    }
    return 0;
}

static int gpumem_add(struct gpumem *gpu, unsigned int index,
                      unsigned int of)
{
    int node = pxm_to_node(gpu->domains.start + index);
    u64 size = gpu->size / of;
    u64 start = gpu->start + index * size;
    int ret = add_memory_driver_managed(node, start, size,
                                        "System RAM (gpumem)", MHP_NONE);

    if (ret) {
        dev_err(gpu->dev, "adding %llu MiB at 0x%llx to node %d failed "
                "(error %d)\n", size >> 20, start, node, ret);
    }
    return ret;
}

/* Fails where the memory is in use and can't be moved, or by a signal */
static int gpumem_remove(struct gpumem *gpu, unsigned int index,
                         unsigned int of)
{
    u64 size = gpu->size / of;
    u64 start = gpu->start + index * size;
    int ret = offline_and_remove_memory(start, size);

    if (ret) {
        dev_err(gpu->dev, "removing %llu MiB at 0x%llx failed (error %d)\n",
                size >> 20, start, ret);
    }
    return ret;
}

typedef int gpumem_step(struct gpumem *gpu, unsigned int index,
                        unsigned int of);

/* Take a step for each partition; if one fails, undo those before it. */
static int gpumem_all(struct gpumem *gpu, unsigned int of, gpumem_step *step,
                      gpumem_step *undo)
{
    unsigned int i;
    int ret;

    for (i = 0; i < of; i++) {
        ret = step(gpu, i, of);
        if (ret) {
            while (i--) {
                undo(gpu, i, of);
            }
            return ret;
        }
    }
    return 0;
}

/*
 * Called with the lock held, or before anybody else can be there.  If an undo
 * fails, the log says so, and the number of partitions is not right any more.
 */
static int gpumem_split(struct gpumem *gpu, unsigned int of)
{
    int ret;

    if (of && (!is_power_of_2(of) || of > GPUMEM_MAX_PARTITIONS ||
               of > gpu->domains.count ||
               !IS_ALIGNED(gpu->size, of * memory_block_size_bytes()))) {
        dev_err(gpu->dev, "no %u partitions of %llu MiB in %llu nodes, with "
                "blocks of %lu MiB\n", of, gpu->size >> 20,
                gpu->domains.count, memory_block_size_bytes() >> 20);
        return -EINVAL;
    }
    ret = gpumem_all(gpu, gpu->partitions, gpumem_remove, gpumem_add);
    if (ret) {
        return ret;
    }
    ret = gpumem_all(gpu, of, gpumem_add, gpumem_remove);
    if (ret) {
        gpumem_all(gpu, gpu->partitions, gpumem_add, gpumem_remove);
        return ret;
    }
    gpu->partitions = of;
    return 0;
}

static ssize_t partitions_show(struct device *dev,
                               struct device_attribute *attr, char *buf)
{
    struct gpumem *gpu = dev_get_drvdata(dev);
    unsigned int now;

    mutex_lock(&gpu->lock);
    now = gpu->partitions;
    mutex_unlock(&gpu->lock);
    return sysfs_emit(buf, "%u\n", now);
}

static ssize_t partitions_store(struct device *dev,
                                struct device_attribute *attr,
                                const char *buf, size_t count)
{
    struct gpumem *gpu = dev_get_drvdata(dev);
    unsigned int of;
    int ret = kstrtouint(buf, 0, &of);

    if (ret) {
        return ret;
    }
    mutex_lock(&gpu->lock);
    ret = gpumem_split(gpu, of);
    mutex_unlock(&gpu->lock);
    return ret ? ret : count;
}
static DEVICE_ATTR_RW(partitions);

static irqreturn_t gpumem_interrupt(int irq, void *arrived)
{
    complete(arrived);
    return IRQ_HANDLED;
}

static int gpumem_await(struct gpumem *gpu, unsigned int vector,
                        void __iomem *registers)
{
    struct completion arrived;
    int irq = pci_irq_vector(to_pci_dev(gpu->dev), vector);
    int ret;

    init_completion(&arrived);
    ret = request_irq(irq, gpumem_interrupt, 0, "gpumem", &arrived);
    if (ret) {
        return ret;
    }
    iowrite32(vector, registers + GPUMEM_RAISE);
    if (!wait_for_completion_timeout(&arrived, 10 * HZ)) {
        ret = -ETIMEDOUT;
    }
    iowrite32(1 << vector, registers + GPUMEM_ACK);
    free_irq(irq, &arrived);
    return ret;
}

static int gpumem_raise(struct gpumem *gpu, unsigned int vector)
{
    struct pci_dev *pdev = to_pci_dev(gpu->dev);
    void __iomem *registers = pci_iomap(pdev, 0, 0);
    int ret;

    if (!registers) {
        return -ENOMEM;
    }
    pci_set_master(pdev);
    ret = pci_alloc_irq_vectors(pdev, GPUMEM_VECTORS, GPUMEM_VECTORS,
                                PCI_IRQ_MSIX);
    if (ret > 0) {
        ret = gpumem_await(gpu, vector, registers);
        pci_free_irq_vectors(pdev);
    }
    pci_iounmap(pdev, registers);
    return ret;
}

static ssize_t interrupt_store(struct device *dev,
                               struct device_attribute *attr,
                               const char *buf, size_t count)
{
    struct gpumem *gpu = dev_get_drvdata(dev);
    unsigned int vector;
    int ret = kstrtouint(buf, 0, &vector);

    if (ret || vector >= GPUMEM_VECTORS) {
        return -EINVAL;
    }
    mutex_lock(&gpu->lock);
    ret = gpumem_raise(gpu, vector);
    mutex_unlock(&gpu->lock);
    return ret ? ret : count;
}
static DEVICE_ATTR_WO(interrupt);

static struct attribute *gpumem_attrs[] = {
    &dev_attr_partitions.attr,
    &dev_attr_interrupt.attr,
    NULL
};
ATTRIBUTE_GROUPS(gpumem);

/*
 * The BAR is not requested as a PCI region: the memory core makes a resource
 * of its own for the same addresses, and the two would conflict.
 */
static int gpumem_find_bar(struct gpumem *gpu, struct pci_dev *pdev)
{
    unsigned long want = IORESOURCE_MEM_64 | IORESOURCE_PREFETCH;

    gpu->start = pci_resource_start(pdev, GPUMEM_BAR);
    gpu->size = pci_resource_len(pdev, GPUMEM_BAR);
    if (!gpu->size ||
        (pci_resource_flags(pdev, GPUMEM_BAR) & want) != want) {
        dev_err(gpu->dev, "BAR%d is no 64-bit prefetchable memory\n",
                GPUMEM_BAR);
        return -ENODEV;
    }
    if (size_mb > gpu->size >> 20) {
        dev_err(gpu->dev, "BAR%d has no %lu MiB\n", GPUMEM_BAR, size_mb);
        return -EINVAL;
    }
    if (size_mb) {
        gpu->size = (u64)size_mb << 20;
    }
    return 0;
}

static int gpumem_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
    struct device *dev = &pdev->dev;
    struct gpumem *gpu = devm_kzalloc(dev, sizeof(*gpu), GFP_KERNEL);
    int ret;

    if (!gpu) {
        return -ENOMEM;
    }
    gpu->dev = dev;
    mutex_init(&gpu->lock);
    pci_set_drvdata(pdev, gpu);
    ret = gpumem_read_range(dev, &gpu->domains);
    if (ret) {
        return ret;
    }
    ret = gpumem_map_nodes(dev, &gpu->domains);
    if (ret) {
        return ret;
    }
    ret = gpumem_check_initiators(pdev, &gpu->domains);
    if (ret) {
        return ret;
    }
    ret = gpumem_check_egm(dev);
    if (ret) {
        return ret;
    }
    ret = pcim_enable_device(pdev);
    if (ret) {
        return ret;
    }
    ret = gpumem_find_bar(gpu, pdev);
    if (ret) {
        return ret;
    }
    return gpumem_split(gpu, partitions);
}

static const struct pci_device_id gpumem_ids[] = {
    { PCI_DEVICE(GPUMEM_VENDOR, GPUMEM_DEVICE) },
    { }
};
MODULE_DEVICE_TABLE(pci, gpumem_ids);

/*
 * Memory in use can't always be taken away.  So there is no remove function
 * and no module exit, and nobody may unbind the device through sysfs.
 */
static struct pci_driver gpumem_driver = {
    .name = "gpumem",
    .id_table = gpumem_ids,
    .probe = gpumem_probe,
    .dev_groups = gpumem_groups,
    .driver.suppress_bind_attrs = true,
};

static int __init gpumem_init(void)
{
    return pci_register_driver(&gpumem_driver);
}
module_init(gpumem_init);

MODULE_DESCRIPTION("Onlines a BAR as memory of the nodes that its _DSD names");
MODULE_LICENSE("GPL");

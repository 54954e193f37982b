// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stand-in for the driver of a GPU with coherent memory, for guest tests.
 *
 * An ivshmem device plays the GPU: its BAR2 is memory that the guest can use.
 * The driver learns from the device's _DSD which proximity domains are the
 * GPU's own and adds the memory to the NUMA node of the first one.
 */
#include <linux/acpi.h>
#include <linux/memory_hotplug.h>
#include <linux/module.h>
#include <linux/numa.h>
#include <linux/pci.h>
#include <linux/property.h>

#define GPUMEM_VENDOR 0x1af4
#define GPUMEM_DEVICE 0x1110
#define GPUMEM_BAR 2

struct gpumem_range {
    u64 start;
    u64 count;
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
 * Released drivers know only the vendor's names, the agreed design has the
 * other pair: firmware that is right for all gives both, with equal values.
 */
static int gpumem_read_range(struct device *dev, struct gpumem_range *range)
{
    struct gpumem_range vendor;
    bool bad = false;

    /* Read all four before giving up, so that the log names every fault. */
    bad |= gpumem_read(dev, "dev-mem-pxm-start", &range->start) != 0;
    bad |= gpumem_read(dev, "dev-mem-pxm-count", &range->count) != 0;
    bad |= gpumem_read(dev, "nvidia,gpu-mem-pxm-start", &vendor.start) != 0;
    bad |= gpumem_read(dev, "nvidia,gpu-mem-pxm-count", &vendor.count) != 0;
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

/* Every domain must have a node, not just the one that gets memory now. */
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

/*
 * The BAR is not requested as a PCI region: the memory core makes a resource
 * of its own for the same addresses, and the two would conflict.
 */
static int gpumem_add_bar(struct pci_dev *pdev, int node)
{
    struct device *dev = &pdev->dev;
    u64 start = pci_resource_start(pdev, GPUMEM_BAR);
    u64 size = pci_resource_len(pdev, GPUMEM_BAR);
    unsigned long want = IORESOURCE_MEM_64 | IORESOURCE_PREFETCH;
    int ret;

    if (!size || (pci_resource_flags(pdev, GPUMEM_BAR) & want) != want) {
        dev_err(dev, "BAR%d is no 64-bit prefetchable memory\n",
                GPUMEM_BAR);
        return -ENODEV;
    }
    ret = add_memory_driver_managed(node, start, size,
                                    "System RAM (gpumem)", MHP_NONE);
    if (ret) {
        dev_err(dev, "adding BAR%d to node %d failed (error %d)\n",
                GPUMEM_BAR, node, ret);
        return ret;
    }
    dev_info(dev, "node %d: added %llu MiB at 0x%llx\n", node, size >> 20,
             start);
    return 0;
}

static int gpumem_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
    struct gpumem_range range;
    int ret;

    ret = gpumem_read_range(&pdev->dev, &range);
    if (ret) {
        return ret;
    }
    ret = gpumem_map_nodes(&pdev->dev, &range);
    if (ret) {
        return ret;
    }
    ret = pcim_enable_device(pdev);
    if (ret) {
        return ret;
    }
    return gpumem_add_bar(pdev, pxm_to_node(range.start));
}

static const struct pci_device_id gpumem_ids[] = {
    { PCI_DEVICE(GPUMEM_VENDOR, GPUMEM_DEVICE) },
    { }
};
MODULE_DEVICE_TABLE(pci, gpumem_ids);

/*
 * Memory in use can't be taken away again.  So there is no remove function
 * and no module exit, and nobody may unbind the device through sysfs.
 */
static struct pci_driver gpumem_driver = {
    .name = "gpumem",
    .id_table = gpumem_ids,
    .probe = gpumem_probe,
    .driver.suppress_bind_attrs = true,
};

static int __init gpumem_init(void)
{
    return pci_register_driver(&gpumem_driver);
}
module_init(gpumem_init);

MODULE_DESCRIPTION("Onlines a BAR as memory of the node that its _DSD names");
MODULE_LICENSE("GPL");

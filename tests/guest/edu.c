// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A driver for QEMU's "edu", for guest tests: the device reads memory of the guest
 * into its own buffer, and writes that to other memory, by DMA.
 *
 * The device is described in QEMU's docs/specs/edu.rst.
 */
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/random.h>
#include <linux/string.h>

#define EDU_SRC 0x80
#define EDU_DST 0x88
#define EDU_COUNT 0x90
#define EDU_COMMAND 0x98
#define EDU_RUN 0x1
#define EDU_TO_MEMORY 0x2
#define EDU_BUFFER 0x40000      /* its address for the device itself */
#define EDU_SECONDS 10

#define HALF 2048

static int edu_copy(void __iomem *registers, u32 src, u32 dst, u32 direction)
{
    u32 command;

    iowrite32(src, registers + EDU_SRC);
    iowrite32(dst, registers + EDU_DST);
    iowrite32(HALF, registers + EDU_COUNT);
    iowrite32(EDU_RUN | direction, registers + EDU_COMMAND);
    return readl_poll_timeout(registers + EDU_COMMAND, command,
                              !(command & EDU_RUN), 1000,
                              EDU_SECONDS * USEC_PER_SEC);
}

/* From the first half of what is mapped to the second */
static int edu_copy_page(struct device *dev, void __iomem *registers, u8 *page)
{
    dma_addr_t bus;
    int ret;

    get_random_bytes(page, HALF);
    bus = dma_map_single(dev, page, 2 * HALF, DMA_BIDIRECTIONAL);
    if (dma_mapping_error(dev, bus)) {
        return -ENOMEM;
    }
    ret = edu_copy(registers, bus, EDU_BUFFER, 0);
    if (!ret) {
        ret = edu_copy(registers, EDU_BUFFER, bus + HALF, EDU_TO_MEMORY);
    }
    dma_unmap_single(dev, bus, 2 * HALF, DMA_BIDIRECTIONAL);
    if (!ret && memcmp(page, page + HALF, HALF)) {
        ret = -EIO;
    }
    dev_info(dev, "DMA at 0x%llx of memory at 0x%llx: error %d\n", (u64)bus,
             (u64)virt_to_phys(page), ret);
    return ret;
}

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
    void __iomem *registers;
    u8 *page;
    int ret = pcim_enable_device(pdev);

    if (ret) {
        return ret;
    }
    ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(32));
    if (ret) {
        return ret;
    }
    pci_set_master(pdev);
    registers = pcim_iomap(pdev, 0, 0);
    page = (u8 *)devm_get_free_pages(&pdev->dev, GFP_KERNEL | __GFP_ZERO, 0);
    if (!page || !registers) {
        return -ENOMEM;
    }
    ret = edu_copy_page(&pdev->dev, registers, page);
    if (ret) {
        pci_clear_master(pdev);     /* it may still write to the page */
    }
    return ret;
}

static const struct pci_device_id edu_ids[] = {
    { PCI_DEVICE(0x1234, 0x11e8) },
    { }
};
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
    .name = "edu",
    .id_table = edu_ids,
    .probe = edu_probe,
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("Has QEMU's edu read and write memory by DMA");
MODULE_LICENSE("GPL");

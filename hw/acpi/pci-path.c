/*
 * PCI devices in the DSDT, named from the host bridge down
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/acpi/pci-path.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_bus.h"

typedef struct PciPath {
    PCIBus *root;
    GPtrArray *hops;    /* PCIDevice: the one on the root bus first */
    const GPtrArray *objects;
} PciPath;

static PCIDevice *path_hop(const PciPath *path, guint depth)
{
    return g_ptr_array_index(path->hops, depth);
}

static void path_init(PciPath *path, const AcpiPciEndpoint *endpoint)
{
    PCIDevice *pdev = endpoint->pdev;

    path->objects = endpoint->objects;
    path->hops = g_ptr_array_new();
    for (;;) {
        g_ptr_array_insert(path->hops, 0, pdev);
        path->root = pci_get_bus(pdev);
        if (pci_bus_is_root(path->root)) {
            return;
        }
        pdev = pci_bridge_get_device(path->root);
    }
}

static void path_clear(gpointer data)
{
    PciPath *path = data;

    g_ptr_array_unref(path->hops);
}

static gint path_compare(gconstpointer a, gconstpointer b)
{
    const PciPath *path1 = a;
    const PciPath *path2 = b;
    int diff = pci_bus_num(path1->root) - pci_bus_num(path2->root);
    guint shorter = MIN(path1->hops->len, path2->hops->len);

    for (guint i = 0; !diff && i < shorter; i++) {
        diff = path_hop(path1, i)->devfn - path_hop(path2, i)->devfn;
    }
    return diff;
}

/* Mirrors what build_append_pci_bus_devices() leaves out of a bus it names */
static bool is_left_unnamed(PCIDevice *pdev)
{
    return PCI_FUNC(pdev->devfn) && IS_PCI_BRIDGE(pdev) &&
           DEVICE(pdev)->hotplugged;
}

/* It does not descend into a hot-plugged bridge either */
static bool names_devices_behind(PCIDevice *pdev)
{
    return !DEVICE(pdev)->hotplugged;
}

/*
 * Append the nodes of paths[0] to paths[n - 1] from @depth down.  They are
 * sorted and have the bridges above @depth in common.
 */
static void append_hops(Aml *parent, const PciPath *paths, guint n, guint depth,
                        bool named)
{
    guint next;

    for (guint i = 0; i < n; i = next) {
        PCIDevice *pdev = path_hop(&paths[i], depth);
        bool dev_named = named && !is_left_unnamed(pdev);
        Aml *dev;

        next = i + 1;
        while (next < n && path_hop(&paths[next], depth) == pdev) {
            next++;
        }

        if (dev_named) {
            dev = aml_scope("S%.02X", pdev->devfn);
        } else {
            dev = aml_device("S%.02X", pdev->devfn);
            aml_append(dev, aml_name_decl("_ADR",
                aml_int(PCI_SLOT(pdev->devfn) << 16 | PCI_FUNC(pdev->devfn))));
        }
        if (paths[i].hops->len == depth + 1) {
            for (guint j = 0; j < paths[i].objects->len; j++) {
                aml_append(dev, g_ptr_array_index(paths[i].objects, j));
            }
        } else {
            append_hops(dev, &paths[i], next - i, depth + 1,
                        dev_named && names_devices_behind(pdev));
        }
        aml_append(parent, dev);
    }
}

static Aml *root_scope(const AcpiPciRoots *roots, PCIBus *root)
{
    if (root == roots->pci0) {
        return aml_scope("\\_SB.PCI0");
    }
    return aml_scope("\\_SB.%s%.02X",
                     pci_bus_is_cxl(root) ? roots->cxl_prefix : "PC",
                     pci_bus_num(root));
}

void build_append_pci_endpoints(Aml *dsdt, const AcpiPciRoots *roots,
                                const GArray *endpoints)
{
    g_autoptr(GArray) paths = g_array_sized_new(false, true, sizeof(PciPath),
                                                endpoints->len);
    const PciPath *path;
    guint next;

    g_array_set_size(paths, endpoints->len);
    g_array_set_clear_func(paths, path_clear);
    for (guint i = 0; i < endpoints->len; i++) {
        path_init(&g_array_index(paths, PciPath, i),
                  &g_array_index(endpoints, AcpiPciEndpoint, i));
    }
    g_array_sort(paths, path_compare);

    path = (const PciPath *)paths->data;
    for (guint i = 0; i < paths->len; i = next) {
        PCIBus *root = path[i].root;
        Aml *scope = root_scope(roots, root);

        next = i + 1;
        while (next < paths->len && path[next].root == root) {
            next++;
        }

        append_hops(scope, &path[i], next - i, 0,
                    root == roots->pci0 && roots->pci0_named);
        aml_append(dsdt, scope);
    }
}

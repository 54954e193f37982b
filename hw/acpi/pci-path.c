/*
 * PCI devices in the DSDT, named from the host bridge down
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/acpi/pci-path.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_bus.h"

/* Mirrors what build_append_pci_bus_devices() leaves out of a bus it names */
static bool is_left_unnamed(PCIDevice *pdev)
{
    return PCI_FUNC(pdev->devfn) && IS_PCI_BRIDGE(pdev) &&
           DEVICE(pdev)->hotplugged;
}

/* build_append_pci_bus_devices() does not descend into a hot-plugged bridge */
static bool names_devices_behind(PCIDevice *pdev)
{
    return !DEVICE(pdev)->hotplugged;
}

/*
 * Append the devices of @bus that have an object, and the bridges that lead to
 * such a device.  @named: the DSDT names the devices of @bus.
 * Returns %false if there is none.
 */
static bool append_bus(Aml *parent, PCIBus *bus, bool named,
                       GHashTable *objects)
{
    bool appended = false;

    for (int devfn = 0; devfn < ARRAY_SIZE(bus->devices); devfn++) {
        PCIDevice *pdev = bus->devices[devfn];
        Aml *object = pdev ? g_hash_table_lookup(objects, pdev) : NULL;
        bool dev_named;
        Aml *dev;

        if (!object && !(pdev && IS_PCI_BRIDGE(pdev))) {
            continue;
        }

        dev_named = named && !is_left_unnamed(pdev);
        if (dev_named) {
            dev = aml_scope("S%.02X", devfn);
        } else {
            dev = aml_device("S%.02X", devfn);
            aml_append(dev, aml_name_decl("_ADR",
                aml_int(PCI_SLOT(devfn) << 16 | PCI_FUNC(devfn))));
        }
        if (object) {
            aml_append(dev, object);
        } else if (!append_bus(dev,
                               pci_bridge_get_sec_bus(PCI_BRIDGE(pdev)),
                               dev_named && names_devices_behind(pdev),
                               objects)) {
            continue;
        }
        aml_append(parent, dev);
        appended = true;
    }
    return appended;
}

void build_append_pci_objects(Aml *dsdt, const AcpiPciRoots *roots,
                              GHashTable *objects)
{
    Aml *scope = aml_scope("\\_SB.PCI0");
    PCIBus *bus;

    if (!g_hash_table_size(objects)) {
        return;
    }
    if (append_bus(scope, roots->pci0, roots->pci0_named, objects)) {
        aml_append(dsdt, scope);
    }
    QLIST_FOREACH(bus, &roots->pci0->child, sibling) {
        /* The others are behind bridges of PCI0 */
        if (!pci_bus_is_root(bus)) {
            continue;
        }
        scope = aml_scope("\\_SB.%s%.02X",
                          pci_bus_is_cxl(bus) ? roots->cxl_prefix : "PC",
                          pci_bus_num(bus));
        if (append_bus(scope, bus, false, objects)) {
            aml_append(dsdt, scope);
        }
    }
}

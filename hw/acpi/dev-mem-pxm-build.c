/*
 * NUMA nodes for the coherent memory of a PCI device: its _DSD
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "hw/acpi/aml-build.h"
#include "hw/acpi/dev-mem-pxm.h"
#include "trace.h"

static void append_property(Aml *properties, const char *name, uint32_t value)
{
    Aml *property = aml_package(2);

    aml_append(property, aml_string("%s", name));
    aml_append(property, aml_int(value));
    aml_append(properties, property);
}

/*
 * ACPI 6.5, 6.2.5 _DSD (Device Specific Data)
 * _DSD Device Properties UUID
 */
static Aml *build_dsd(DevMemPxmAcpi *dm)
{
    static const DevMemPxmNames general_names = {
        .pxm_start = "dev-mem-pxm-start",
        .pxm_count = "dev-mem-pxm-count",
    };
    const DevMemPxmNames *names[] = {
        &general_names, DEV_MEM_PXM_ACPI_GET_CLASS(dm)->vendor_names,
    };
    int num_names = names[1] ? 2 : 1;
    Aml *dsd = aml_package(2);
    Aml *properties = aml_package(2 * num_names);

    for (int i = 0; i < num_names; i++) {
        append_property(properties, names[i]->pxm_start, dm->first_node);
        append_property(properties, names[i]->pxm_count, dm->num_nodes);
    }
    aml_append(dsd, aml_touuid("DAFFD814-6EBA-4D8C-8A91-BC9BBF4AA301"));
    aml_append(dsd, properties);
    trace_dev_mem_pxm_acpi_dsd(dm->devid, dm->first_node, dm->num_nodes);
    return aml_name_decl("_DSD", dsd);
}

void dev_mem_pxm_acpi_build_dsdt(Aml *dsdt, MachineState *ms,
                                 const AcpiPciRoots *roots)
{
    g_autoptr(GHashTable) objects = g_hash_table_new(NULL, NULL);

    for (int i = 0; i < ms->numa_state->num_nodes; i++) {
        Object *obj = ms->numa_state->nodes[i].owner;
        DevMemPxmAcpi *dm;
        PCIDevice *pdev;

        if (!obj) {
            continue;
        }
        dm = DEV_MEM_PXM_ACPI(obj);
        pdev = dev_mem_pxm_acpi_device(dm, NULL);
        if (pdev) {
            g_hash_table_insert(objects, pdev, build_dsd(dm));
        } else if (!dm->warned) {
            warn_report("%s object '%s' is without effect: its device '%s' "
                        "is gone; plug a PCI device with this id in, or "
                        "delete the object", object_get_typename(obj),
                        object_get_canonical_path_component(obj), dm->devid);
        }
        dm->warned = !pdev;
        i = dev_mem_pxm_acpi_last_node(dm);
    }
    build_append_pci_objects(dsdt, roots, objects);
}

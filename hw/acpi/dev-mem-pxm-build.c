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

void dev_mem_pxm_acpi_add_property(GPtrArray *properties, const char *name,
                                   uint64_t value)
{
    Aml *property = aml_package(2);

    aml_append(property, aml_string("%s", name));
    aml_append(property, aml_int(value));
    g_ptr_array_add(properties, property);
}

/*
 * ACPI 6.5, 6.2.5 _DSD (Device Specific Data)
 * _DSD Device Properties UUID
 */
static Aml *build_dsd(const DevMemPxmAcpi *dm)
{
    DevMemPxmAcpiClass *dmc = DEV_MEM_PXM_ACPI_GET_CLASS(dm);
    g_autoptr(GPtrArray) properties = g_ptr_array_new();
    Aml *dsd = aml_package(2);
    Aml *list;

    dev_mem_pxm_acpi_add_property(properties, "dev-mem-pxm-start",
                                  dm->first_node);
    dev_mem_pxm_acpi_add_property(properties, "dev-mem-pxm-count",
                                  dm->num_nodes);
    if (dmc->add_properties) {
        dmc->add_properties(dm, properties);
    }
    list = aml_package(properties->len);
    for (guint i = 0; i < properties->len; i++) {
        aml_append(list, g_ptr_array_index(properties, i));
    }
    aml_append(dsd, aml_touuid("DAFFD814-6EBA-4D8C-8A91-BC9BBF4AA301"));
    aml_append(dsd, list);
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

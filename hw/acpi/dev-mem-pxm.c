/*
 * NUMA nodes for the coherent memory of a PCI device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qom/object_interfaces.h"
#include "hw/acpi/dev-mem-pxm.h"
#include "hw/acpi/pci.h"
#include "hw/pci/pci_bridge.h"
#include "system/runstate.h"

PCIDevice *dev_mem_pxm_acpi_device(const DevMemPxmAcpi *dm, Error **errp)
{
    ERRP_GUARD();
    Object *devices = machine_get_container("peripheral");
    Object *dev = object_resolve_path_component(devices, dm->devid);

    /* Before it is realized, and while it is unplugged, it has no slot */
    if (!dev || !qdev_is_realized(DEVICE(dev))) {
        error_setg(errp, "devid=%s: there is no such device", dm->devid);
        error_append_hint(errp, "Give a -device this id.\n");
        return NULL;
    }
    if (!object_dynamic_cast(dev, TYPE_PCI_DEVICE)) {
        error_setg(errp, "devid=%s: this %s is not a PCI device", dm->devid,
                   object_get_typename(dev));
        return NULL;
    }
    /* A PCI expander bridge is a host bridge, the others are PCI bridges */
    if (IS_PCI_BRIDGE(dev) ||
        PCI_DEVICE_GET_CLASS(dev)->class_id == PCI_CLASS_BRIDGE_HOST) {
        error_setg(errp, "devid=%s: this %s is a PCI bridge", dm->devid,
                   object_get_typename(dev));
        error_append_hint(errp, "Give the id of the device behind it.\n");
        return NULL;
    }
    return PCI_DEVICE(dev);
}

static bool check_nodeset(const DevMemPxmAcpi *dm, Error **errp)
{
    ERRP_GUARD();
    uint32_t first = find_first_bit(dm->nodeset, MAX_NODES);
    uint32_t last = find_last_bit(dm->nodeset, MAX_NODES);
    uint32_t hole = find_next_zero_bit(dm->nodeset, MAX_NODES, first);

    if (first == MAX_NODES) {
        error_setg(errp, "nodeset: it is empty");
        error_append_hint(errp, "Name at least one node.\n");
        return false;
    }
    if (hole < last) {
        error_setg(errp, "nodeset: node %u is missing between %u and %u",
                   hole, first, last);
        error_append_hint(errp, "Give consecutive nodes.\n");
        return false;
    }
    return true;
}

/* No other object may be for this device, or have one of the nodes */
static bool check_others(const DevMemPxmAcpi *dm, const NumaState *numa,
                         Error **errp)
{
    ERRP_GUARD();

    for (uint32_t i = 0; i < MAX_NODES; i++) {
        const DevMemPxmAcpi *other = numa->nodes[i].owner;

        if (!other) {
            continue;
        }
        if (g_str_equal(dm->devid, other->devid)) {
            error_setg(errp, "devid=%s: object '%s' is for this device too",
                       dm->devid,
                       object_get_canonical_path_component(OBJECT(other)));
            error_append_hint(errp, "Give one object all nodes.\n");
            return false;
        }
        if (test_bit(i, dm->nodeset)) {
            error_setg(errp, "nodeset: object '%s' has node %u too",
                       object_get_canonical_path_component(OBJECT(other)), i);
            error_append_hint(errp, "Give each object nodes of its own.\n");
            return false;
        }
    }
    return true;
}

/* Is there an initiator other than the object itself? */
static bool has_other_initiator(const NodeInfo *info)
{
    GSList *l = info->generic_initiators;

    return l && (l->data != info->owner || l->next);
}

static bool check_node(const DevMemPxmAcpi *dm, uint32_t node, Error **errp)
{
    ERRP_GUARD();
    const NodeInfo *info = &dm->numa->nodes[node];

    if (!info->present) {
        error_setg(errp, "nodeset: the machine has no node %u", node);
        error_append_hint(errp, "Add -numa node,nodeid=%u.\n", node);
        return false;
    }
    if (info->node_mem) {
        g_autofree char *size = size_to_str(info->node_mem);

        error_setg(errp, "nodeset: node %u has memory (%s)", node, size);
        error_append_hint(errp, "Take a node without mem= or memdev=.\n");
        return false;
    }
    if (info->has_cpu) {
        error_setg(errp, "nodeset: node %u has CPUs", node);
        error_append_hint(errp, "Assign all CPUs to other nodes.\n");
        return false;
    }
    if (info->generic_ports) {
        error_setg(errp, "nodeset: node %u belongs to an acpi-generic-port",
                   node);
        error_append_hint(errp, "Take another node.\n");
        return false;
    }
    if (info->memory_devices) {
        error_setg(errp, "nodeset: node %u has a memory device", node);
        error_append_hint(errp, "Unplug it, or take another node.\n");
        return false;
    }
    if (dm->generic_initiator && has_other_initiator(info)) {
        error_setg(errp, "generic-initiator=on: node %u belongs to an "
                   "acpi-generic-initiator already", node);
        error_append_hint(errp, "Delete that object, or give "
                          "generic-initiator=off.\n");
        return false;
    }
    return true;
}

static void add_or_remove(GSList **list, DevMemPxmAcpi *dm, bool add)
{
    *list = add ? g_slist_append(*list, dm) : g_slist_remove(*list, dm);
}

static void own_nodes(DevMemPxmAcpi *dm, bool own)
{
    for (uint32_t i = 0; i < dm->num_nodes; i++) {
        NodeInfo *info = &dm->numa->nodes[dm->first_node + i];

        info->owner = own ? dm : NULL;
        if (dm->generic_initiator) {
            add_or_remove(&info->generic_initiators, dm, own);
        }
    }
}

/* On the command line, devices and nodes are yet to come */
static void dev_mem_pxm_acpi_accept(DevMemPxmAcpi *dm, Error **errp)
{
    MachineState *ms = MACHINE(qdev_get_machine());

    if (!object_dynamic_cast(OBJECT(ms), TYPE_DEV_MEM_PXM_ACPI_MACHINE)) {
        error_setg(errp, "machine %s does not support this object",
                   MACHINE_GET_CLASS(ms)->name);
        return;
    }
    if (!check_nodeset(dm, errp) || !check_others(dm, ms->numa_state, errp)) {
        return;
    }
    dm->numa = ms->numa_state;
    dm->first_node = find_first_bit(dm->nodeset, MAX_NODES);
    dm->num_nodes = bitmap_count_one(dm->nodeset, MAX_NODES);
    own_nodes(dm, true);
}

static void dev_mem_pxm_acpi_complete(UserCreatable *uc, Error **errp)
{
    Error *err = NULL;

    dev_mem_pxm_acpi_accept(DEV_MEM_PXM_ACPI(uc), &err);
    machine_object_complete(OBJECT(uc), err, errp);
}

static bool dev_mem_pxm_acpi_machine_ready(UserCreatable *uc, Error **errp)
{
    DevMemPxmAcpi *dm = DEV_MEM_PXM_ACPI(uc);
    MachineState *ms = MACHINE(qdev_get_machine());

    if (!DEV_MEM_PXM_ACPI_MACHINE_GET_CLASS(ms)->builds_tables(ms, errp)) {
        return false;
    }
    /* The device may have been unplugged where the machine comes from */
    if (!runstate_check(RUN_STATE_INMIGRATE) &&
        !dev_mem_pxm_acpi_device(dm, errp)) {
        return false;
    }
    for (uint32_t i = 0; i < dm->num_nodes; i++) {
        if (!check_node(dm, dm->first_node + i, errp)) {
            return false;
        }
    }
    return true;
}

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
    return aml_name_decl("_DSD", dsd);
}

void dev_mem_pxm_acpi_build_dsdt(Aml *dsdt, MachineState *ms,
                                 const AcpiPciRoots *roots)
{
    g_autoptr(GHashTable) objects = g_hash_table_new(NULL, NULL);

    for (int i = 0; i < ms->numa_state->num_nodes; i++) {
        DevMemPxmAcpi *dm = ms->numa_state->nodes[i].owner;
        Error *err = NULL;
        PCIDevice *pdev;

        if (!dm || i != dm->first_node) {
            continue;
        }
        pdev = dev_mem_pxm_acpi_device(dm, &err);
        acpi_warn_without_effect(OBJECT(dm), err, &dm->warned);
        if (pdev) {
            g_hash_table_insert(objects, pdev, build_dsd(dm));
        }
    }
    build_append_pci_objects(dsdt, roots, objects);
}

static char *dev_mem_pxm_acpi_get_devid(Object *obj, Error **errp)
{
    return g_strdup(DEV_MEM_PXM_ACPI(obj)->devid);
}

static void dev_mem_pxm_acpi_set_devid(Object *obj, const char *value,
                                       Error **errp)
{
    DevMemPxmAcpi *dm = DEV_MEM_PXM_ACPI(obj);

    if (machine_object_check_settable(obj, "devid", errp)) {
        g_free(dm->devid);
        dm->devid = g_strdup(value);
    }
}

static void dev_mem_pxm_acpi_get_nodeset(Object *obj, Visitor *v,
                                         const char *name, void *opaque,
                                         Error **errp)
{
    g_autoptr(uint32List) nodes = NULL;

    for (uint32_t i = MAX_NODES; i > 0; i--) {
        if (test_bit(i - 1, DEV_MEM_PXM_ACPI(obj)->nodeset)) {
            QAPI_LIST_PREPEND(nodes, i - 1);
        }
    }
    visit_type_uint32List(v, name, &nodes, errp);
}

static void dev_mem_pxm_acpi_set_nodeset(Object *obj, Visitor *v,
                                         const char *name, void *opaque,
                                         Error **errp)
{
    DevMemPxmAcpi *dm = DEV_MEM_PXM_ACPI(obj);
    g_autoptr(uint32List) nodes = NULL;
    uint32List *l;

    if (!machine_object_check_settable(obj, name, errp) ||
        !visit_type_uint32List(v, name, &nodes, errp)) {
        return;
    }
    bitmap_zero(dm->nodeset, MAX_NODES);
    for (l = nodes; l; l = l->next) {
        if (l->value >= MAX_NODES) {
            error_setg(errp, "nodeset: QEMU knows the nodes 0-%d, not %u",
                       MAX_NODES - 1, l->value);
            return;
        }
        set_bit(l->value, dm->nodeset);
    }
}

static bool dev_mem_pxm_acpi_get_generic_initiator(Object *obj, Error **errp)
{
    return DEV_MEM_PXM_ACPI(obj)->generic_initiator;
}

static void dev_mem_pxm_acpi_set_generic_initiator(Object *obj, bool value,
                                                   Error **errp)
{
    if (machine_object_check_settable(obj, "generic-initiator", errp)) {
        DEV_MEM_PXM_ACPI(obj)->generic_initiator = value;
    }
}

static void dev_mem_pxm_acpi_finalize(Object *obj)
{
    DevMemPxmAcpi *dm = DEV_MEM_PXM_ACPI(obj);

    if (dm->numa) {
        own_nodes(dm, false);
    }
    g_free(dm->devid);
}

static void dev_mem_pxm_acpi_class_init(ObjectClass *oc, void *data)
{
    UserCreatableClass *ucc = USER_CREATABLE_CLASS(oc);

    ucc->complete = dev_mem_pxm_acpi_complete;
    ucc->machine_ready = dev_mem_pxm_acpi_machine_ready;

    object_class_property_add_str(oc, "devid", dev_mem_pxm_acpi_get_devid,
                                  dev_mem_pxm_acpi_set_devid);
    object_class_property_set_description(oc, "devid",
        "ID of the PCI device whose memory the nodes are for");
    object_class_property_add(oc, "nodeset", "int",
                              dev_mem_pxm_acpi_get_nodeset,
                              dev_mem_pxm_acpi_set_nodeset, NULL, NULL);
    object_class_property_set_description(oc, "nodeset",
        "Consecutive empty NUMA nodes for that memory, such as 2-9");
    object_class_property_add_bool(oc, "generic-initiator",
                                   dev_mem_pxm_acpi_get_generic_initiator,
                                   dev_mem_pxm_acpi_set_generic_initiator);
    object_class_property_set_description(oc, "generic-initiator",
        "Make the device a generic initiator of each node");
}

static const TypeInfo dev_mem_pxm_acpi_types[] = {
    {
        .name = TYPE_DEV_MEM_PXM_ACPI_MACHINE,
        .parent = TYPE_INTERFACE,
        .class_size = sizeof(DevMemPxmAcpiMachineClass),
    },
    {
        .name = TYPE_DEV_MEM_PXM_ACPI,
        .parent = TYPE_OBJECT,
        .instance_size = sizeof(DevMemPxmAcpi),
        .instance_finalize = dev_mem_pxm_acpi_finalize,
        .class_size = sizeof(DevMemPxmAcpiClass),
        .class_init = dev_mem_pxm_acpi_class_init,
        .interfaces = (InterfaceInfo[]) {
            { TYPE_USER_CREATABLE },
            { }
        },
    },
};

DEFINE_TYPES(dev_mem_pxm_acpi_types)

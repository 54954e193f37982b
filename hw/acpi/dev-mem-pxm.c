/*
 * NUMA nodes for the coherent memory of a PCI device: the object
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qom/object_interfaces.h"
#include "hw/acpi/dev-mem-pxm.h"

static const char *object_id(const DevMemPxmAcpi *dm)
{
    return object_get_canonical_path_component(OBJECT(dm));
}

static bool take_nodeset(DevMemPxmAcpi *dm, Error **errp)
{
    ERRP_GUARD();
    DECLARE_BITMAP(nodes, MAX_NODES) = {};
    unsigned long first, hole, last;
    uint32List *l;

    for (l = dm->nodeset; l; l = l->next) {
        if (l->value >= MAX_NODES) {
            error_setg(errp, "nodeset: QEMU knows the nodes 0-%d, not %u",
                       MAX_NODES - 1, l->value);
            error_append_hint(errp, "Take nodes that -numa node creates.\n");
            return false;
        }
        if (test_and_set_bit(l->value, nodes)) {
            error_setg(errp, "nodeset: node %u is given twice", l->value);
            return false;
        }
    }

    last = find_last_bit(nodes, MAX_NODES);
    if (last == MAX_NODES) {
        error_setg(errp, "nodeset: it is empty");
        error_append_hint(errp,
                          "Name at least one node, such as nodeset=2.\n");
        return false;
    }
    first = find_first_bit(nodes, MAX_NODES);
    hole = find_next_zero_bit(nodes, MAX_NODES, first);
    if (hole < last) {
        error_setg(errp, "nodeset: node %lu is missing between %lu and %lu",
                   hole, first, last);
        error_append_hint(errp, "The guest can be told only consecutive nodes, "
                          "such as nodeset=%lu-%lu.\n", first, last);
        return false;
    }
    dm->first_node = first;
    dm->num_nodes = last - first + 1;
    return true;
}

char *dev_mem_pxm_acpi_nodeset_str(const DevMemPxmAcpi *dm)
{
    return dm->num_nodes == 1 ?
        g_strdup_printf("%u", dm->first_node) :
        g_strdup_printf("%u-%u", dm->first_node,
                        dev_mem_pxm_acpi_last_node(dm));
}

/* No other object may be for this device, or have one of the nodes */
static bool check_others(const DevMemPxmAcpi *dm, const NumaState *numa,
                         Error **errp)
{
    ERRP_GUARD();

    for (uint32_t i = 0; i < MAX_NODES; i++) {
        const DevMemPxmAcpi *other = (DevMemPxmAcpi *)numa->nodes[i].owner;
        uint32_t shared;

        if (!other) {
            continue;
        }
        if (g_str_equal(dm->devid, other->devid)) {
            error_setg(errp, "devid=%s: object '%s' is for this device too",
                       dm->devid, object_id(other));
            error_append_hint(errp, "A device takes one object, with all its "
                              "nodes.\n");
            return false;
        }
        shared = MAX(dm->first_node, other->first_node);
        i = dev_mem_pxm_acpi_last_node(other);
        if (shared <= MIN(dev_mem_pxm_acpi_last_node(dm), i)) {
            g_autofree char *nodeset = dev_mem_pxm_acpi_nodeset_str(dm);

            error_setg(errp, "nodeset=%s: object '%s' has node %u too",
                       nodeset, object_id(other), shared);
            error_append_hint(errp, "Give each object nodes of its own.\n");
            return false;
        }
    }
    return true;
}

static void add_or_remove(GSList **list, DevMemPxmAcpi *dm, bool add)
{
    *list = add ? g_slist_append(*list, dm) : g_slist_remove(*list, dm);
}

/* Record in the nodes what they are for the object, or no longer are */
static void own_nodes(DevMemPxmAcpi *dm, bool own)
{
    for (uint32_t i = 0; i < dm->num_nodes; i++) {
        NodeInfo *info = &dm->numa->nodes[dm->first_node + i];

        info->owner = own ? OBJECT(dm) : NULL;
        if (dm->generic_initiator) {
            add_or_remove(&info->generic_initiators, dm, own);
        }
    }
    if (dm->has_boot_node && dm->boot_node < MAX_NODES) {
        add_or_remove(&dm->numa->nodes[dm->boot_node].boot_memory_users, dm,
                      own);
    }
}

/* On the command line, devices and nodes are yet to come */
static void dev_mem_pxm_acpi_complete(UserCreatable *uc, Error **errp)
{
    ERRP_GUARD();
    DevMemPxmAcpi *dm = DEV_MEM_PXM_ACPI(uc);
    MachineState *ms = MACHINE(qdev_get_machine());

    if (!object_dynamic_cast(OBJECT(ms), TYPE_DEV_MEM_PXM_ACPI_MACHINE)) {
        error_setg(errp, "machine %s has no ACPI tables for it",
                   MACHINE_GET_CLASS(ms)->name);
        error_append_hint(errp, "Use virt of Arm, q35 or pc.\n");
    } else if (!dm->devid || !*dm->devid) {
        error_setg(errp, "devid: it is empty");
        error_append_hint(errp,
                          "Give the id of the device's -device option.\n");
    } else if (take_nodeset(dm, errp) &&
               check_others(dm, ms->numa_state, errp)) {
        dm->numa = ms->numa_state;
        own_nodes(dm, true);
        return;
    }
    user_creatable_error_prepend(uc, errp);
}

static bool dev_mem_pxm_acpi_machine_ready(UserCreatable *uc, Error **errp)
{
    return dev_mem_pxm_acpi_check(DEV_MEM_PXM_ACPI(uc), errp);
}

static bool is_settable(Object *obj, const char *name, Error **errp)
{
    return user_creatable_check_settable(USER_CREATABLE(obj),
                                         DEV_MEM_PXM_ACPI(obj)->numa, name,
                                         errp);
}

static char *dev_mem_pxm_acpi_get_devid(Object *obj, Error **errp)
{
    return g_strdup(DEV_MEM_PXM_ACPI(obj)->devid);
}

static void dev_mem_pxm_acpi_set_devid(Object *obj, const char *value,
                                       Error **errp)
{
    DevMemPxmAcpi *dm = DEV_MEM_PXM_ACPI(obj);

    if (is_settable(obj, "devid", errp)) {
        g_free(dm->devid);
        dm->devid = g_strdup(value);
    }
}

static void dev_mem_pxm_acpi_get_nodeset(Object *obj, Visitor *v,
                                         const char *name, void *opaque,
                                         Error **errp)
{
    DevMemPxmAcpi *dm = DEV_MEM_PXM_ACPI(obj);
    g_autoptr(uint32List) nodes = NULL;

    for (uint32_t i = dm->num_nodes; i > 0; i--) {
        QAPI_LIST_PREPEND(nodes, dm->first_node + i - 1);
    }
    visit_type_uint32List(v, name, &nodes, errp);
}

static void dev_mem_pxm_acpi_set_nodeset(Object *obj, Visitor *v,
                                         const char *name, void *opaque,
                                         Error **errp)
{
    DevMemPxmAcpi *dm = DEV_MEM_PXM_ACPI(obj);
    uint32List *nodes;

    if (is_settable(obj, name, errp) &&
        visit_type_uint32List(v, name, &nodes, errp)) {
        qapi_free_uint32List(dm->nodeset);
        dm->nodeset = nodes;
    }
}

static bool dev_mem_pxm_acpi_get_generic_initiator(Object *obj, Error **errp)
{
    return DEV_MEM_PXM_ACPI(obj)->generic_initiator;
}

static void dev_mem_pxm_acpi_set_generic_initiator(Object *obj, bool value,
                                                   Error **errp)
{
    if (is_settable(obj, "generic-initiator", errp)) {
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
    qapi_free_uint32List(dm->nodeset);
}

static void dev_mem_pxm_acpi_class_init(ObjectClass *oc, void *data)
{
    UserCreatableClass *ucc = USER_CREATABLE_CLASS(oc);

    ucc->complete = dev_mem_pxm_acpi_complete;
    ucc->machine_ready = dev_mem_pxm_acpi_machine_ready;

    object_class_property_add_str(oc, "devid", dev_mem_pxm_acpi_get_devid,
                                  dev_mem_pxm_acpi_set_devid);
    object_class_property_set_description(oc, "devid",
        "id of the PCI device whose memory the nodes are for");
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

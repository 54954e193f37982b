/*
 * NUMA nodes for the coherent memory of a PCI device
 *
 * A device with memory of its own that is coherent with the CPUs, such as a
 * Grace-Hopper class GPU, has its driver online that memory in NUMA nodes of
 * the guest.  The administrator creates these nodes empty; an object links them
 * to the device, and the ACPI tables tell the guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qapi/qapi-types-common.h"
#include "qom/object_interfaces.h"
#include "hw/acpi/pci.h"
#include "hw/acpi/pci-dev-mem.h"
#include "hw/pci/pci_bridge.h"
#include "system/numa.h"
#include "trace.h"

struct PciDevMemAcpi {
    Object parent_obj;

    char *devid;
    uint32List *nodeset;    /* as given, until complete() has taken it */
    uint32_t first_node;
    uint32_t num_nodes;     /* 0 until complete() */
    OnOffAuto generic_initiator;
    bool has_pxm;
    uint32_t pxm;
    bool checked;           /* that it fits the machine */
    bool warned;            /* that the device is gone */
};

/* The names that are not bound to a vendor */
static const PciDevMemNames general_names = {
    .pxm_start = "dev-mem-pxm-start",
    .pxm_count = "dev-mem-pxm-count",
};

static int collect_object(Object *obj, void *opaque)
{
    GPtrArray *objects = opaque;

    if (object_dynamic_cast(obj, TYPE_PCI_DEV_MEM_ACPI)) {
        g_ptr_array_add(objects, obj);
    }
    return 0;
}

static gint compare_objects(gconstpointer a, gconstpointer b)
{
    const PciDevMemAcpi *dm1 = *(PciDevMemAcpi *const *)a;
    const PciDevMemAcpi *dm2 = *(PciDevMemAcpi *const *)b;

    return (int)dm1->first_node - (int)dm2->first_node;
}

/* By ascending node */
static GPtrArray *all_objects(void)
{
    GPtrArray *objects = g_ptr_array_new();

    object_child_foreach(object_get_objects_root(), collect_object, objects);
    g_ptr_array_sort(objects, compare_objects);
    return objects;
}

/* This searches all objects, so it is not for what runs for each of them */
static const char *object_id(PciDevMemAcpi *dm)
{
    return object_get_canonical_path_component(OBJECT(dm));
}

/* Say which object an error is of */
static void prepend_object(PciDevMemAcpi *dm, Error **errp)
{
    error_prepend(errp, "%s object '%s': ", object_get_typename(OBJECT(dm)),
                  object_id(dm));
}

static uint32_t last_node(const PciDevMemAcpi *dm)
{
    return dm->first_node + dm->num_nodes - 1;
}

/* nodeset as a user would write it */
static char *nodeset_str(const PciDevMemAcpi *dm)
{
    return dm->num_nodes == 1 ?
        g_strdup_printf("%u", dm->first_node) :
        g_strdup_printf("%u-%u", dm->first_node, last_node(dm));
}

static bool check_machine(MachineState *ms, Error **errp)
{
    const char *name = MACHINE_GET_CLASS(ms)->name;

    if (!object_dynamic_cast(OBJECT(ms), TYPE_PCI_DEV_MEM_ACPI_MACHINE)) {
        error_setg(errp, "machine %s has no ACPI tables for it; "
                   "use virt of Arm, q35 or pc", name);
        return false;
    }
    if (!PCI_DEV_MEM_ACPI_MACHINE_GET_CLASS(ms)->builds_tables(ms)) {
        error_setg(errp, "machine %s has been started without ACPI tables; "
                   "start it with acpi=on, or use virt of Arm, q35 or pc",
                   name);
        return false;
    }
    return true;
}

static PCIDevice *find_device(PciDevMemAcpi *dm, Error **errp)
{
    Object *dev;

    dev = object_resolve_path_component(machine_get_container("peripheral"),
                                        dm->devid);
    /* One that is not realized is on no bus, be it on its way in or out */
    if (!dev || !qdev_is_realized(DEVICE(dev))) {
        error_setg(errp, "devid=%s: no device has this id; "
                   "give it to the -device option of the device that is meant, "
                   "or name another device", dm->devid);
        return NULL;
    }
    if (!object_dynamic_cast(dev, TYPE_PCI_DEVICE)) {
        error_setg(errp, "devid=%s: this %s is not a PCI device; "
                   "give the id of a PCI device",
                   dm->devid, object_get_typename(dev));
        return NULL;
    }
    /* A PCI expander bridge is a host bridge, the others are PCI bridges */
    if (IS_PCI_BRIDGE(dev) ||
        PCI_DEVICE_GET_CLASS(dev)->class_id == PCI_CLASS_BRIDGE_HOST) {
        error_setg(errp, "devid=%s: this %s is a PCI bridge; "
                   "give the id of the device behind it",
                   dm->devid, object_get_typename(dev));
        return NULL;
    }
    return PCI_DEVICE(dev);
}

/* What the nodes of the machine are taken for, found once for all objects */
typedef struct MachineNodes {
    int count;
    NumaNodeMem memory[MAX_NODES];
    DECLARE_BITMAP(cpus, MAX_NODES);
    DECLARE_BITMAP(initiators, MAX_NODES);
    DECLARE_BITMAP(ports, MAX_NODES);
} MachineNodes;

static void find_machine_nodes(MachineNodes *nodes, MachineState *ms)
{
    memset(nodes, 0, sizeof(*nodes));
    nodes->count = ms->numa_state ? ms->numa_state->num_nodes : 0;
    if (nodes->count) {
        query_numa_node_mem(nodes->memory, ms);
        numa_find_cpu_nodes(ms, nodes->cpus);
        acpi_find_generic_nodes(nodes->initiators, nodes->ports);
    }
}

/* Drivers take the initiators of function 0 in slot 0, as below a port */
static bool is_initiator(const PciDevMemAcpi *dm, const PCIDevice *pdev)
{
    return dm->generic_initiator == ON_OFF_AUTO_ON ||
           (dm->generic_initiator == ON_OFF_AUTO_AUTO && !pdev->devfn);
}

static bool check_nodes(PciDevMemAcpi *dm, const MachineNodes *nodes,
                        PCIDevice *pdev, Error **errp)
{
    uint32_t last = last_node(dm);
    g_autofree char *nodeset = nodeset_str(dm);

    if (!nodes->count) {
        error_setg(errp, "nodeset=%s: the machine has no NUMA nodes; "
                   "create them with -numa node", nodeset);
        return false;
    }
    if (last >= nodes->count) {
        uint32_t unknown = MAX(dm->first_node, nodes->count);

        error_setg(errp, "nodeset=%s: the machine has no node %u, only 0-%d; "
                   "add -numa node,nodeid=%u or leave it out",
                   nodeset, unknown, nodes->count - 1, unknown);
        return false;
    }

    for (uint32_t i = dm->first_node; i <= last; i++) {
        if (nodes->memory[i].node_mem) {
            g_autofree char *size = size_to_str(nodes->memory[i].node_mem);

            error_setg(errp, "nodeset=%s: node %u has memory (%s); "
                       "take a node without mem=, memdev= or memory devices",
                       nodeset, i, size);
            return false;
        }
        if (test_bit(i, nodes->cpus)) {
            error_setg(errp, "nodeset=%s: node %u has CPUs; assign all CPUs "
                       "to other nodes, with -numa node,cpus= or -numa cpu",
                       nodeset, i);
            return false;
        }
        if (test_bit(i, nodes->ports)) {
            error_setg(errp, "nodeset=%s: node %u belongs to an "
                       "acpi-generic-port; take another node", nodeset, i);
            return false;
        }
        if (test_bit(i, nodes->initiators) && is_initiator(dm, pdev)) {
            error_setg(errp, "generic-initiator=%s: node %u belongs to an "
                       "acpi-generic-initiator already; delete that object, or "
                       "give generic-initiator=off",
                       OnOffAuto_str(dm->generic_initiator), i);
            return false;
        }
    }
    return true;
}

/* A PCI expander bridge may say for all that is below it where it is */
static bool contradicts_pxb(const PciDevMemAcpi *dm, PCIDevice *pdev,
                            uint16_t *pxb_node)
{
    *pxb_node = pci_bus_numa_node(pci_device_root_bus(pdev));
    return *pxb_node != NUMA_NODE_UNASSIGNED && *pxb_node != dm->pxm;
}

static bool check_pxm(PciDevMemAcpi *dm, const MachineNodes *nodes,
                      PCIDevice *pdev, Error **errp)
{
    uint16_t pxb_node;

    if (!dm->has_pxm) {
        return true;
    }
    if (dm->pxm >= nodes->count) {
        error_setg(errp, "pxm=%u: the machine has no node %u, only 0-%d; "
                   "give the node of the CPUs that the device is near to",
                   dm->pxm, dm->pxm, nodes->count - 1);
        return false;
    }
    if (contradicts_pxb(dm, pdev, &pxb_node)) {
        error_setg(errp, "pxm=%u: device '%s' is below a PCI expander bridge "
                   "with numa_node=%u; leave pxm out, or give both the same",
                   dm->pxm, dm->devid, pxb_node);
        return false;
    }
    return true;
}

/* What the objects have that fit the machine: no other may have it too */
typedef struct Taken {
    GHashTable *devices;                /* devid to PciDevMemAcpi */
    PciDevMemAcpi *nodes[MAX_NODES];
} Taken;

static void take(Taken *taken, PciDevMemAcpi *dm)
{
    g_hash_table_insert(taken->devices, dm->devid, dm);
    for (uint32_t i = dm->first_node; i <= last_node(dm); i++) {
        taken->nodes[i] = dm;
    }
}

static bool check_taken(PciDevMemAcpi *dm, const Taken *taken, Error **errp)
{
    PciDevMemAcpi *other = g_hash_table_lookup(taken->devices, dm->devid);

    if (other) {
        error_setg(errp, "devid=%s: object '%s' is for this device too; "
                   "a device takes one object, with all its nodes",
                   dm->devid, object_id(other));
        return false;
    }
    for (uint32_t i = dm->first_node; i <= last_node(dm); i++) {
        if (taken->nodes[i]) {
            g_autofree char *nodeset = nodeset_str(dm);

            error_setg(errp, "nodeset=%s: object '%s' has node %u too; "
                       "give each object nodes of its own",
                       nodeset, object_id(taken->nodes[i]), i);
            return false;
        }
    }
    return true;
}

static bool check_object(PciDevMemAcpi *dm, MachineState *ms,
                         const MachineNodes *nodes, const Taken *taken,
                         Error **errp)
{
    ERRP_GUARD();
    PCIDevice *pdev = check_machine(ms, errp) ? find_device(dm, errp) : NULL;

    if (!pdev || !check_nodes(dm, nodes, pdev, errp) ||
        !check_pxm(dm, nodes, pdev, errp) || !check_taken(dm, taken, errp)) {
        prepend_object(dm, errp);
        return false;
    }
    return true;
}

/*
 * Do the objects fit the machine?  Asked when the machine is built, for each,
 * and answered for all of them at once: to find out about nodes takes a walk
 * through all that the machine consists of.
 */
static bool pci_dev_mem_acpi_machine_ready(UserCreatable *uc, Error **errp)
{
    MachineState *ms = MACHINE(qdev_get_machine());
    g_autoptr(GPtrArray) objects = NULL;
    g_autoptr(GHashTable) devices = NULL;
    Taken taken = {};
    MachineNodes nodes;

    if (PCI_DEV_MEM_ACPI(uc)->checked) {
        return true;
    }
    find_machine_nodes(&nodes, ms);
    objects = all_objects();
    taken.devices = devices = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < objects->len; i++) {
        PciDevMemAcpi *dm = g_ptr_array_index(objects, i);

        if (dm->checked) {
            take(&taken, dm);
        }
    }
    for (guint i = 0; i < objects->len; i++) {
        PciDevMemAcpi *dm = g_ptr_array_index(objects, i);

        if (dm->checked) {
            continue;
        }
        if (!check_object(dm, ms, &nodes, &taken, errp)) {
            return false;
        }
        take(&taken, dm);
        dm->checked = true;
    }
    return true;
}

static bool take_nodeset(PciDevMemAcpi *dm, Error **errp)
{
    DECLARE_BITMAP(nodes, MAX_NODES) = {};
    unsigned long first, hole, last;
    uint32List *l;

    for (l = dm->nodeset; l; l = l->next) {
        if (l->value >= MAX_NODES) {
            error_setg(errp, "nodeset: QEMU knows the nodes 0-%d, not %u; "
                       "take nodes that -numa node creates",
                       MAX_NODES - 1, l->value);
            return false;
        }
        if (test_and_set_bit(l->value, nodes)) {
            error_setg(errp, "nodeset: node %u is given twice; give it once",
                       l->value);
            return false;
        }
    }

    last = find_last_bit(nodes, MAX_NODES);
    if (last == MAX_NODES) {
        error_setg(errp, "nodeset: it is empty; "
                   "name at least one node, such as nodeset=2");
        return false;
    }
    first = find_first_bit(nodes, MAX_NODES);
    hole = find_next_zero_bit(nodes, MAX_NODES, first);
    if (hole < last) {
        error_setg(errp, "nodeset: node %lu is missing between %lu and %lu; "
                   "the guest can be told only consecutive nodes, "
                   "such as nodeset=%lu-%lu", hole, first, last, first, last);
        return false;
    }

    dm->first_node = first;
    dm->num_nodes = last - first + 1;
    g_clear_pointer(&dm->nodeset, qapi_free_uint32List);
    return true;
}

/*
 * As those of an acpi-generic-initiator, the nodes are initiators for -numa
 * hmat-lb and in the HMAT, for good: values that the HMAT has for an initiator
 * would else become those of another.
 */
static void mark_initiators(PciDevMemAcpi *dm, MachineState *ms)
{
    for (uint32_t i = dm->first_node; i <= last_node(dm); i++) {
        ms->numa_state->nodes[i].has_gi = true;
    }
}

static void pci_dev_mem_acpi_complete(UserCreatable *uc, Error **errp)
{
    ERRP_GUARD();
    PciDevMemAcpi *dm = PCI_DEV_MEM_ACPI(uc);
    MachineState *ms = MACHINE(qdev_get_machine());

    if (!dm->devid || !*dm->devid) {
        error_setg(errp, "devid: it is empty; "
                   "give the id of the device's -device option");
    } else {
        take_nodeset(dm, errp);
    }
    if (*errp) {
        prepend_object(dm, errp);
        return;
    }

    /* On the command line, devices and nodes are yet to come */
    if (phase_check(PHASE_MACHINE_READY) &&
        !pci_dev_mem_acpi_machine_ready(uc, errp)) {
        return;
    }
    /* The command line's -numa hmat-lb asks for them before the tables do */
    if (dm->generic_initiator == ON_OFF_AUTO_ON && ms->numa_state) {
        mark_initiators(dm, ms);
    }
}

static bool check_settable(PciDevMemAcpi *dm, const char *name, Error **errp)
{
    ERRP_GUARD();

    if (dm->num_nodes) {
        error_setg(errp, "%s can't be changed; "
                   "delete the object and add a new one", name);
        prepend_object(dm, errp);
        return false;
    }
    return true;
}

static char *pci_dev_mem_acpi_get_devid(Object *obj, Error **errp)
{
    return g_strdup(PCI_DEV_MEM_ACPI(obj)->devid);
}

static void pci_dev_mem_acpi_set_devid(Object *obj, const char *value,
                                       Error **errp)
{
    PciDevMemAcpi *dm = PCI_DEV_MEM_ACPI(obj);

    if (check_settable(dm, "devid", errp)) {
        g_free(dm->devid);
        dm->devid = g_strdup(value);
    }
}

static void pci_dev_mem_acpi_get_nodeset(Object *obj, Visitor *v,
                                         const char *name, void *opaque,
                                         Error **errp)
{
    PciDevMemAcpi *dm = PCI_DEV_MEM_ACPI(obj);
    g_autoptr(uint32List) nodes = NULL;

    for (uint32_t i = dm->num_nodes; i > 0; i--) {
        QAPI_LIST_PREPEND(nodes, dm->first_node + i - 1);
    }
    visit_type_uint32List(v, name, &nodes, errp);
}

static void pci_dev_mem_acpi_set_nodeset(Object *obj, Visitor *v,
                                         const char *name, void *opaque,
                                         Error **errp)
{
    PciDevMemAcpi *dm = PCI_DEV_MEM_ACPI(obj);
    uint32List *nodes;

    /* Neither the object's id nor its machine is known yet: see complete() */
    if (check_settable(dm, name, errp) &&
        visit_type_uint32List(v, name, &nodes, errp)) {
        qapi_free_uint32List(dm->nodeset);
        dm->nodeset = nodes;
    }
}

static int pci_dev_mem_acpi_get_generic_initiator(Object *obj, Error **errp)
{
    return PCI_DEV_MEM_ACPI(obj)->generic_initiator;
}

static void pci_dev_mem_acpi_set_generic_initiator(Object *obj, int value,
                                                   Error **errp)
{
    PciDevMemAcpi *dm = PCI_DEV_MEM_ACPI(obj);

    if (check_settable(dm, "generic-initiator", errp)) {
        dm->generic_initiator = value;
    }
}

static void pci_dev_mem_acpi_get_pxm(Object *obj, Visitor *v, const char *name,
                                     void *opaque, Error **errp)
{
    PciDevMemAcpi *dm = PCI_DEV_MEM_ACPI(obj);
    uint32_t pxm = dm->has_pxm ? dm->pxm : NUMA_NODE_UNASSIGNED;

    visit_type_uint32(v, name, &pxm, errp);
}

static void pci_dev_mem_acpi_set_pxm(Object *obj, Visitor *v, const char *name,
                                     void *opaque, Error **errp)
{
    PciDevMemAcpi *dm = PCI_DEV_MEM_ACPI(obj);

    if (check_settable(dm, name, errp)) {
        dm->has_pxm = visit_type_uint32(v, name, &dm->pxm, errp);
    }
}

static void pci_dev_mem_acpi_init(Object *obj)
{
    PCI_DEV_MEM_ACPI(obj)->generic_initiator = ON_OFF_AUTO_OFF;
}

static void pci_dev_mem_acpi_finalize(Object *obj)
{
    PciDevMemAcpi *dm = PCI_DEV_MEM_ACPI(obj);

    g_free(dm->devid);
    qapi_free_uint32List(dm->nodeset);
}

static void pci_dev_mem_acpi_class_init(ObjectClass *oc, ClassInitData *data)
{
    UserCreatableClass *ucc = USER_CREATABLE_CLASS(oc);

    ucc->complete = pci_dev_mem_acpi_complete;
    ucc->machine_ready = pci_dev_mem_acpi_machine_ready;

    object_class_property_add_str(oc, "devid", pci_dev_mem_acpi_get_devid,
                                  pci_dev_mem_acpi_set_devid);
    object_class_property_set_description(oc, "devid",
        "id of the PCI device whose memory the nodes are for");
    object_class_property_add(oc, "nodeset", "int",
                              pci_dev_mem_acpi_get_nodeset,
                              pci_dev_mem_acpi_set_nodeset, NULL, NULL);
    object_class_property_set_description(oc, "nodeset",
        "Consecutive empty NUMA nodes for that memory, such as 2-9");
    object_class_property_add_enum(oc, "generic-initiator", "OnOffAuto",
                                   &OnOffAuto_lookup,
                                   pci_dev_mem_acpi_get_generic_initiator,
                                   pci_dev_mem_acpi_set_generic_initiator);
    object_class_property_set_description(oc, "generic-initiator",
        "Make the device a generic initiator of each node (auto: where its "
        "slot and function are 0)");
    object_class_property_add(oc, "pxm", "uint32", pci_dev_mem_acpi_get_pxm,
                              pci_dev_mem_acpi_set_pxm, NULL, NULL);
    object_class_property_set_description(oc, "pxm",
        "NUMA node that the device itself is near to (reads as 128 without one)");
}

static const TypeInfo pci_dev_mem_acpi_types[] = {
    {
        .name = TYPE_PCI_DEV_MEM_ACPI_MACHINE,
        .parent = TYPE_INTERFACE,
        .class_size = sizeof(PciDevMemAcpiMachineClass),
    },
    {
        .name = TYPE_PCI_DEV_MEM_ACPI,
        .parent = TYPE_OBJECT,
        .instance_size = sizeof(PciDevMemAcpi),
        .instance_init = pci_dev_mem_acpi_init,
        .instance_finalize = pci_dev_mem_acpi_finalize,
        .abstract = true,
        .class_size = sizeof(PciDevMemAcpiClass),
        .class_init = pci_dev_mem_acpi_class_init,
        .interfaces = (InterfaceInfo[]) {
            { TYPE_USER_CREATABLE },
            { }
        },
    },
};

DEFINE_TYPES(pci_dev_mem_acpi_types)

const char *pci_dev_mem_acpi_node_device(uint32_t node)
{
    g_autoptr(GPtrArray) objects = all_objects();

    for (guint i = 0; i < objects->len; i++) {
        PciDevMemAcpi *dm = g_ptr_array_index(objects, i);

        if (node - dm->first_node < dm->num_nodes) {
            return dm->devid;
        }
    }
    return NULL;
}

/*
 * By now the guest's firmware has numbered the buses.  @others: nodes that have
 * an initiator since the object was checked, or since the device was moved.
 */
static void build_initiators(GArray *table_data, MachineState *ms,
                             PciDevMemAcpi *dm, PCIDevice *pdev,
                             const unsigned long *others)
{
    int bus = pci_dev_bus_num(pdev);

    mark_initiators(dm, ms);
    for (uint32_t i = dm->first_node; i <= last_node(dm); i++) {
        if (!test_bit(i, others)) {
            build_srat_pci_generic_initiator(table_data, i, 0, bus,
                                             pdev->devfn);
        }
    }
    if (trace_event_get_state_backends(TRACE_NVIDIA_GPU_MEM_ACPI_INITIATORS)) {
        trace_nvidia_gpu_mem_acpi_initiators(object_id(dm), bus, pdev->devfn);
    }
}

void pci_dev_mem_acpi_begin_srat(GArray *table_data, MachineState *ms,
                                 SratEmptyNodes *empty)
{
    g_autoptr(GPtrArray) objects = all_objects();
    DECLARE_BITMAP(nodes, MAX_NODES) = {};
    DECLARE_BITMAP(initiators, MAX_NODES);
    DECLARE_BITMAP(ports, MAX_NODES);

    acpi_find_generic_nodes(initiators, ports);
    for (guint i = 0; i < objects->len; i++) {
        PciDevMemAcpi *dm = g_ptr_array_index(objects, i);
        PCIDevice *pdev = find_device(dm, NULL);

        if (pdev && is_initiator(dm, pdev)) {
            build_initiators(table_data, ms, dm, pdev, initiators);
        }
        bitmap_set(nodes, dm->first_node, dm->num_nodes);
        if (trace_event_get_state_backends(TRACE_NVIDIA_GPU_MEM_ACPI_SRAT)) {
            trace_nvidia_gpu_mem_acpi_srat(object_id(dm), dm->first_node,
                                           last_node(dm));
        }
    }
    srat_find_empty_nodes(empty, ms, nodes);
}

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
static Aml *build_dsd(PciDevMemAcpi *dm)
{
    const PciDevMemNames *names[] = {
        &general_names, &PCI_DEV_MEM_ACPI_GET_CLASS(dm)->driver_names,
    };
    Aml *dsd = aml_package(2);
    Aml *properties = aml_package(2 * ARRAY_SIZE(names));

    for (int i = 0; i < ARRAY_SIZE(names); i++) {
        append_property(properties, names[i]->pxm_start, dm->first_node);
        append_property(properties, names[i]->pxm_count, dm->num_nodes);
    }
    aml_append(dsd, aml_touuid("DAFFD814-6EBA-4D8C-8A91-BC9BBF4AA301"));
    aml_append(dsd, properties);
    if (trace_event_get_state_backends(TRACE_NVIDIA_GPU_MEM_ACPI_DSD)) {
        trace_nvidia_gpu_mem_acpi_dsd(object_id(dm), dm->devid, dm->first_node,
                                      dm->num_nodes);
    }
    return aml_name_decl("_DSD", dsd);
}

static void clear_endpoint(gpointer data)
{
    AcpiPciEndpoint *endpoint = data;

    g_ptr_array_unref(endpoint->objects);
}

void pci_dev_mem_acpi_build_dsdt(Aml *dsdt, const AcpiPciRoots *roots)
{
    g_autoptr(GPtrArray) objects = all_objects();
    g_autoptr(GArray) endpoints = g_array_new(false, false,
                                              sizeof(AcpiPciEndpoint));

    g_array_set_clear_func(endpoints, clear_endpoint);
    for (guint i = 0; i < objects->len; i++) {
        PciDevMemAcpi *dm = g_ptr_array_index(objects, i);
        AcpiPciEndpoint endpoint = { .pdev = find_device(dm, NULL) };
        uint16_t pxb_node;

        /* The tables are built again after the device has been unplugged */
        if (!endpoint.pdev) {
            if (!dm->warned) {
                warn_report("%s object '%s' is without effect: its device '%s' "
                            "is gone; plug a PCI device with this id in, or "
                            "delete the object",
                            object_get_typename(OBJECT(dm)), object_id(dm),
                            dm->devid);
                dm->warned = true;
            }
            continue;
        }
        dm->warned = false;
        endpoint.objects = g_ptr_array_new();
        g_ptr_array_add(endpoint.objects, build_dsd(dm));
        /* ACPI 6.5, 6.2.14 _PXM (Proximity) */
        if (dm->has_pxm && !contradicts_pxb(dm, endpoint.pdev, &pxb_node)) {
            g_ptr_array_add(endpoint.objects,
                            aml_name_decl("_PXM", aml_int(dm->pxm)));
        }
        g_array_append_val(endpoints, endpoint);
    }
    build_append_pci_endpoints(dsdt, roots, endpoints);
}

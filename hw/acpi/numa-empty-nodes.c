/*
 * Empty NUMA nodes in the SRAT
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "hw/acpi/aml-build.h"
#include "hw/acpi/numa-empty-nodes.h"
#include "hw/acpi/pci.h"
#include "system/numa.h"
#include "trace.h"

void numa_find_cpu_nodes(MachineState *ms, unsigned long *nodes)
{
    MachineClass *mc = MACHINE_GET_CLASS(ms);
    const CPUArchIdList *slots;

    bitmap_zero(nodes, MAX_NODES);
    if (!mc->possible_cpu_arch_ids) {
        return;
    }

    /* NodeInfo.has_cpu is no help: it is set only for a machine with HMAT */
    slots = mc->possible_cpu_arch_ids(ms);
    for (int i = 0; i < slots->len; i++) {
        if (slots->cpus[i].props.has_node_id) {
            set_bit(slots->cpus[i].props.node_id, nodes);
        }
    }
}

void srat_find_empty_nodes(SratEmptyNodes *empty, MachineState *ms,
                           const unsigned long *device_nodes)
{
    int last = ms->numa_state->num_nodes - 1;
    DECLARE_BITMAP(cpu_nodes, MAX_NODES);
    DECLARE_BITMAP(generic_nodes, MAX_NODES);
    DECLARE_BITMAP(port_nodes, MAX_NODES);

    numa_find_cpu_nodes(ms, cpu_nodes);
    acpi_find_generic_nodes(generic_nodes, port_nodes);
    bitmap_or(generic_nodes, generic_nodes, port_nodes, MAX_NODES);
    bitmap_zero(empty->nodes, MAX_NODES);
    for (int i = 0; i <= last; i++) {
        if (test_bit(i, device_nodes) ||
            (!ms->numa_state->nodes[i].node_mem && !test_bit(i, cpu_nodes) &&
             !test_bit(i, generic_nodes))) {
            set_bit(i, empty->nodes);
        }
    }

    /* There is always one, since none of these nodes has CPUs */
    empty->plug_node = last;
    if (test_bit(last, device_nodes)) {
        while (empty->plug_node > 0 &&
               (test_bit(empty->plug_node, device_nodes) ||
                test_bit(empty->plug_node, generic_nodes))) {
            empty->plug_node--;
        }
    }
    empty->has_plug_range = ms->device_memory &&
                            test_bit(empty->plug_node, empty->nodes);
}

void build_srat_empty_node(GArray *table_data, MachineState *ms,
                           const SratEmptyNodes *empty, uint32_t node)
{
    uint64_t base = 0;
    uint64_t length = 0;

    if (!test_bit(node, empty->nodes)) {
        return;
    }
    if (node == empty->plug_node && empty->has_plug_range) {
        base = ms->device_memory->base;
        length = memory_region_size(&ms->device_memory->mr);
    }
    trace_acpi_srat_empty_node(node, base, length);
    build_srat_memory(table_data, base, length, node,
                      MEM_AFFINITY_ENABLED | MEM_AFFINITY_HOTPLUGGABLE);
}

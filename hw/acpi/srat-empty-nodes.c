/*
 * Empty NUMA nodes in the SRAT
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/acpi/aml-build.h"
#include "hw/acpi/pci.h"
#include "hw/acpi/srat-empty-nodes.h"
#include "system/numa.h"

#define EMPTY_NODE_FLAGS (MEM_AFFINITY_ENABLED | MEM_AFFINITY_HOTPLUGGABLE)

static bool is_empty(MachineState *ms, int node)
{
    const NodeInfo *info = &ms->numa_state->nodes[node];

    if (info->owner) {
        return true;
    }
    return MACHINE_GET_CLASS(ms)->srat_empty_nodes && info->present &&
           !info->node_mem && !info->has_cpu &&
           !acpi_has_generic_initiator(info) && !info->generic_ports;
}

int srat_dimm_node(const MachineState *ms)
{
    int node = MAX(ms->numa_state->num_nodes, 1) - 1;

    while (node > 0 && ms->numa_state->nodes[node].owner) {
        node--;
    }
    return node;
}

bool build_srat_empty_node(GArray *table_data, MachineState *ms, int node,
                           DeviceMemoryState *dimm_range)
{
    uint64_t base = 0;
    uint64_t length = 0;

    if (!is_empty(ms, node)) {
        return false;
    }
    if (dimm_range && node == srat_dimm_node(ms)) {
        base = dimm_range->base;
        length = memory_region_size(&dimm_range->mr);
    }
    build_srat_memory(table_data, base, length, node, EMPTY_NODE_FLAGS);
    return true;
}

void build_srat_dimm_range(GArray *table_data, MachineState *ms)
{
    int node = srat_dimm_node(ms);

    if (ms->device_memory && !is_empty(ms, node)) {
        build_srat_memory(table_data, ms->device_memory->base,
                          memory_region_size(&ms->device_memory->mr), node,
                          EMPTY_NODE_FLAGS);
    }
}

/*
 * Empty NUMA nodes in the SRAT
 *
 * A guest OS can use only the NUMA nodes that the SRAT names at boot.  A node
 * that gets its memory later, from a plugged DIMM or from a device with
 * coherent memory of its own, therefore needs an entry while it is still empty.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ACPI_NUMA_EMPTY_NODES_H
#define HW_ACPI_NUMA_EMPTY_NODES_H

#include "hw/acpi/base-compat.h"
#include "system/numa.h"

/**
 * SratEmptyNodes:
 * @nodes: bitmap of MAX_NODES bits: the nodes that get an entry while they are
 *     empty
 * @plug_node: the node that has the range for DIMMs, if the machine has one
 * @has_plug_range: that range is the entry of one of @nodes, and gets no other:
 *     Linux would complain that the two overlap
 */
typedef struct SratEmptyNodes {
    DECLARE_BITMAP(nodes, MAX_NODES);
    uint32_t plug_node;
    bool has_plug_range;
} SratEmptyNodes;

/**
 * numa_find_cpu_nodes:
 * @ms: a machine whose board has been initialized
 * @nodes: bitmap of MAX_NODES bits, overwritten: the nodes of @ms that have
 *     CPUs, those that could be plugged later included
 */
void numa_find_cpu_nodes(MachineState *ms, unsigned long *nodes);

/**
 * srat_find_empty_nodes:
 * @empty: overwritten
 * @ms: a machine with NUMA nodes whose board has been initialized
 * @device_nodes: bitmap of MAX_NODES bits: the nodes of devices with memory
 *
 * Find the nodes that have neither boot memory nor CPUs and that no generic
 * initiator or generic port stands for, and those of devices in any case.  The
 * range for DIMMs goes to the highest node, unless that is a device's, which no
 * node is to be in part only: then to the highest that is neither a device's
 * nor that of an initiator or a port.
 */
void srat_find_empty_nodes(SratEmptyNodes *empty, MachineState *ms,
                           const unsigned long *device_nodes);

/**
 * build_srat_empty_node:
 * @table_data: the SRAT under construction
 * @ms: the machine
 * @empty: its empty nodes
 * @node: node number, which is also its proximity domain
 *
 * If @node is an empty one, append its Memory Affinity Structure, Enabled and
 * Hot Pluggable: with the range for DIMMs where @node has that, else without an
 * address range.  To be called for each node in ascending order, where the SRAT
 * builder describes the node's boot memory: Linux numbers its nodes in the
 * order in which it meets them in the table.
 *
 * ACPI 6.5, 5.2.16.2 Memory Affinity Structure
 */
void build_srat_empty_node(GArray *table_data, MachineState *ms,
                           const SratEmptyNodes *empty, uint32_t node);

#endif

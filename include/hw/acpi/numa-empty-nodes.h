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

/**
 * numa_find_cpu_nodes:
 * @ms: a machine whose board has been initialized
 * @nodes: bitmap of MAX_NODES bits, overwritten: the nodes of @ms that have
 *     CPUs, those that could be plugged later included
 */
void numa_find_cpu_nodes(MachineState *ms, unsigned long *nodes);

/**
 * numa_find_empty_nodes:
 * @ms: a machine whose board has been initialized
 * @nodes: bitmap of MAX_NODES bits, overwritten: the nodes of @ms that have
 *     neither boot memory nor CPUs and that no generic initiator or generic
 *     port stands for
 */
void numa_find_empty_nodes(MachineState *ms, unsigned long *nodes);

/**
 * numa_hotplug_node:
 * @ms: a machine with NUMA nodes
 * @device_nodes: bitmap of MAX_NODES bits: the nodes of devices with memory
 *
 * Returns: the node that the SRAT gives the range for DIMMs to, which is the
 *     highest that is not one of @device_nodes: no node is to be a device's in
 *     part only.
 */
uint32_t numa_hotplug_node(MachineState *ms, const unsigned long *device_nodes);

/**
 * build_srat_empty_node:
 * @table_data: the SRAT under construction
 * @ms: the machine
 * @empty_nodes: bitmap of MAX_NODES bits: the nodes that get an entry
 * @plug_node: the node that has the range for DIMMs, if @ms has one
 * @node: node number, which is also its proximity domain
 *
 * If @node is one of @empty_nodes, append its Memory Affinity Structure,
 * Enabled and Hot Pluggable: for @plug_node with the range for DIMMs, for the
 * others without an address range.  To be called for each node in ascending
 * order, where the SRAT builder describes the node's boot memory: Linux numbers
 * its nodes in the order in which it meets them in the table.  A node with both
 * entries would have Linux complain that they overlap.
 *
 * ACPI 6.5, 5.2.16.2 Memory Affinity Structure
 */
void build_srat_empty_node(GArray *table_data, MachineState *ms,
                           const unsigned long *empty_nodes,
                           uint32_t plug_node, uint32_t node);

#endif

/*
 * Empty NUMA nodes in the SRAT
 *
 * An operating system can use only the NUMA nodes that the SRAT names at boot.
 * A node that gets its memory later, from a plugged DIMM or from a device with
 * coherent memory of its own, therefore needs an entry while it is still empty.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ACPI_SRAT_EMPTY_NODES_H
#define HW_ACPI_SRAT_EMPTY_NODES_H

#include "hw/boards.h"

/*
 * Returns: the node of the range for DIMMs, the highest node that no
 * dev-mem-pxm-acpi object has.
 */
int srat_dimm_node(const MachineState *ms);

/**
 * build_srat_empty_node:
 * @table_data: the SRAT under construction
 * @ms: the machine
 * @node: node number, which is also its proximity domain
 * @dimm_range: the range for DIMMs, or %NULL if there is none or if the caller
 * describes it
 *
 * If @node is empty, append its Memory Affinity Structure, Enabled and Hot
 * Pluggable: with @dimm_range if @node is srat_dimm_node(), else with base and
 * length 0.
 *
 * A node is empty if it has neither boot memory nor CPUs, and neither generic
 * initiators nor generic ports, which have an entry of another type.  Machine
 * types that are older than these entries have no empty nodes.
 * A node of a dev-mem-pxm-acpi object is always an empty one.
 *
 * To be called for each node in ascending order, where the SRAT builder
 * describes the node's boot memory: operating systems number their nodes in the
 * order in which they meet them in the table.
 *
 * ACPI 6.5, 5.2.16.2 Memory Affinity Structure
 *
 * Returns: %true if @node is empty
 */
bool build_srat_empty_node(GArray *table_data, MachineState *ms, int node,
                           DeviceMemoryState *dimm_range);

/**
 * build_srat_dimm_range:
 * @table_data: the SRAT under construction, with all nodes
 * @ms: the machine
 *
 * Append the Memory Affinity Structure of the range for DIMMs, if there is one
 * and build_srat_empty_node() has not put it in the entry of its node.
 */
void build_srat_dimm_range(GArray *table_data, MachineState *ms);

#endif

/*
 * The devices of a DSDT
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_DSDT_WALK_H
#define TESTS_DSDT_WALK_H

/**
 * DsdtDevice:
 * @path: such as \_SB.PCI0.S20, without the underscores that pad a name
 * @adr: value of its _ADR, or -1 if it has none
 * @properties: integer properties of its _DSD, name to uint64_t
 */
typedef struct DsdtDevice {
    char *path;
    int64_t adr;
    GHashTable *properties;
} DsdtDevice;

/**
 * dsdt_walk:
 * @table: a DSDT, header included
 *
 * Find all Device objects of @table.  Fails the test if one is declared twice,
 * if a Scope names one that is not declared before it, or if the AML holds what
 * QEMU's builders don't put there.
 *
 * Returns: DsdtDevice in the order of the table.
 */
GPtrArray *dsdt_walk(const GByteArray *table);

#endif

/*
 * The devices of a DSDT
 *
 * Reads as much AML as it takes to get from one Device to the next: what is in
 * a method, a field or a processor is passed over.
 *
 * ACPI 6.5, 20 ACPI Machine Language (AML) Specification
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "dsdt-walk.h"

#define HEADER_LENGTH 36

enum {
    ZERO_OP = 0x00,
    ONE_OP = 0x01,
    NAME_OP = 0x08,
    BYTE_PREFIX = 0x0a,
    WORD_PREFIX = 0x0b,
    DWORD_PREFIX = 0x0c,
    STRING_PREFIX = 0x0d,
    QWORD_PREFIX = 0x0e,
    SCOPE_OP = 0x10,
    BUFFER_OP = 0x11,
    PACKAGE_OP = 0x12,
    VAR_PACKAGE_OP = 0x13,
    METHOD_OP = 0x14,
    DUAL_NAME_PREFIX = 0x2e,
    MULTI_NAME_PREFIX = 0x2f,
    EXT_OP_PREFIX = 0x5b,
    ROOT_CHAR = '\\',
    PARENT_CHAR = '^',
    ONES_OP = 0xff,
};

enum {
    EXT_MUTEX_OP = 0x01,
    EXT_OP_REGION_OP = 0x80,
    EXT_FIELD_OP = 0x81,
    EXT_DEVICE_OP = 0x82,
    EXT_PROCESSOR_OP = 0x83,
};

typedef struct Walk {
    const uint8_t *at;
    const uint8_t *end;
    GPtrArray *devices;
} Walk;

static void walk_terms(Walk *walk, const uint8_t *end, const char *scope);

static uint64_t take(Walk *walk, int bytes)
{
    uint64_t value = 0;

    g_assert_cmpint(walk->end - walk->at, >=, bytes);
    for (int i = 0; i < bytes; i++) {
        value |= (uint64_t)*walk->at++ << (8 * i);
    }
    return value;
}

/* PkgLength: returns where the object ends */
static const uint8_t *take_end(Walk *walk)
{
    const uint8_t *start = walk->at;
    uint8_t lead = take(walk, 1);
    int more = lead >> 6;
    uint32_t length = more ? lead & 0x0f : lead & 0x3f;

    for (int i = 0; i < more; i++) {
        length |= take(walk, 1) << (4 + 8 * i);
    }
    g_assert_cmpint(length, <=, walk->end - start);
    return start + length;
}

/* NameString: returns it as a full path, with @scope as the current one */
static char *take_path(Walk *walk, const char *scope)
{
    g_autoptr(GString) path = g_string_new(scope);
    int segments = 1;

    if (*walk->at == ROOT_CHAR) {
        g_string_assign(path, "\\");
        walk->at++;
    }
    g_assert_cmpint(*walk->at, !=, PARENT_CHAR);
    if (*walk->at == DUAL_NAME_PREFIX) {
        segments = 2;
        walk->at++;
    } else if (*walk->at == MULTI_NAME_PREFIX) {
        walk->at++;
        segments = take(walk, 1);
    } else if (*walk->at == ZERO_OP) {
        segments = 0;
        walk->at++;
    }
    while (segments--) {
        char segment[5] = {};
        int length = 4;

        g_assert_cmpint(walk->end - walk->at, >=, length);
        memcpy(segment, walk->at, length);
        walk->at += length;
        while (length > 1 && segment[length - 1] == '_') {
            segment[--length] = 0;
        }
        g_string_append_printf(path, "%s%s",
                               g_str_equal(path->str, "\\") ? "" : ".",
                               segment);
    }
    return g_strdup(path->str);
}

static bool take_integer(Walk *walk, uint64_t *value)
{
    uint8_t op = *walk->at;

    if (op == ZERO_OP || op == ONE_OP || op == ONES_OP) {
        walk->at++;
        *value = op == ONES_OP ? UINT64_MAX : op;
    } else if (op == BYTE_PREFIX || op == WORD_PREFIX ||
               op == DWORD_PREFIX || op == QWORD_PREFIX) {
        walk->at++;
        *value = take(walk, op == BYTE_PREFIX ? 1 : op == WORD_PREFIX ? 2 :
                            op == DWORD_PREFIX ? 4 : 8);
    } else {
        return false;
    }
    return true;
}

static const char *take_string(Walk *walk)
{
    const char *string;

    g_assert_cmphex(take(walk, 1), ==, STRING_PREFIX);
    string = (const char *)walk->at;
    walk->at = memchr(walk->at, 0, walk->end - walk->at);
    g_assert_nonnull(walk->at);
    walk->at++;
    return string;
}

/* The value of a Name */
static void pass_value(Walk *walk)
{
    uint64_t value;

    if (take_integer(walk, &value)) {
        return;
    }
    switch (*walk->at) {
    case STRING_PREFIX:
        take_string(walk);
        break;
    case BUFFER_OP:
    case PACKAGE_OP:
    case VAR_PACKAGE_OP:
        walk->at++;
        walk->at = take_end(walk);
        break;
    default:
        g_error("AML opcode 0x%x as a value", *walk->at);
    }
}

static void take_package(Walk *walk, int elements)
{
    g_assert_cmphex(take(walk, 1), ==, PACKAGE_OP);
    take_end(walk);
    g_assert_cmpint(take(walk, 1), ==, elements);
}

/* _DSD: a package of the UUID and of pairs of name and integer */
static void take_dsd(Walk *walk, DsdtDevice *dev)
{
    static const uint8_t device_properties_uuid[16] = {
        0x14, 0xd8, 0xff, 0xda, 0xba, 0x6e, 0x8c, 0x4d,
        0x8a, 0x91, 0xbc, 0x9b, 0xbf, 0x4a, 0xa3, 0x01,
    };
    const uint8_t *end;
    uint64_t length;
    int properties;

    take_package(walk, 2);

    g_assert_cmphex(take(walk, 1), ==, BUFFER_OP);
    take_end(walk);
    g_assert_true(take_integer(walk, &length));
    g_assert_cmpmem(walk->at, length, device_properties_uuid,
                    sizeof(device_properties_uuid));
    walk->at += length;

    g_assert_cmphex(take(walk, 1), ==, PACKAGE_OP);
    end = take_end(walk);
    properties = take(walk, 1);
    while (properties--) {
        uint64_t *value = g_new(uint64_t, 1);
        const char *name;

        take_package(walk, 2);
        name = take_string(walk);
        g_assert_true(take_integer(walk, value));
        g_assert_true(g_hash_table_insert(dev->properties, g_strdup(name),
                                          value));
    }
    g_assert_true(walk->at == end);
}

static void device_free(gpointer data)
{
    DsdtDevice *dev = data;

    g_free(dev->path);
    g_hash_table_unref(dev->properties);
    g_free(dev);
}

static DsdtDevice *dsdt_find(const GPtrArray *devices, const char *path)
{
    for (guint i = 0; i < devices->len; i++) {
        DsdtDevice *dev = g_ptr_array_index(devices, i);

        if (g_str_equal(dev->path, path)) {
            return dev;
        }
    }
    return NULL;
}

static void add_device(Walk *walk, const char *path)
{
    DsdtDevice *dev = g_new0(DsdtDevice, 1);

    if (dsdt_find(walk->devices, path)) {
        g_error("%s is declared twice", path);
    }
    dev->path = g_strdup(path);
    dev->adr = -1;
    dev->properties = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                            g_free);
    g_ptr_array_add(walk->devices, dev);
}

static void walk_name(Walk *walk, const char *scope)
{
    g_autofree char *path = take_path(walk, scope);
    DsdtDevice *dev = dsdt_find(walk->devices, scope);

    if (dev && g_str_has_suffix(path, "._ADR")) {
        g_assert_cmpint(dev->adr, ==, -1);
        g_assert_true(take_integer(walk, (uint64_t *)&dev->adr));
    } else if (dev && g_str_has_suffix(path, "._DSD")) {
        g_assert_cmpint(g_hash_table_size(dev->properties), ==, 0);
        take_dsd(walk, dev);
    } else {
        pass_value(walk);
    }
}

static void walk_extended(Walk *walk, const char *scope)
{
    uint8_t op = take(walk, 1);
    const uint8_t *end;
    uint64_t value;

    switch (op) {
    case EXT_DEVICE_OP: {
        g_autofree char *path = NULL;

        end = take_end(walk);
        path = take_path(walk, scope);
        add_device(walk, path);
        walk_terms(walk, end, path);
        break;
    }
    case EXT_FIELD_OP:
    case EXT_PROCESSOR_OP:
        walk->at = take_end(walk);
        break;
    case EXT_OP_REGION_OP:
        g_free(take_path(walk, scope));
        take(walk, 1);
        g_assert_true(take_integer(walk, &value));
        g_assert_true(take_integer(walk, &value));
        break;
    case EXT_MUTEX_OP:
        g_free(take_path(walk, scope));
        take(walk, 1);
        break;
    default:
        g_error("extended AML opcode 0x%x in %s", op, scope);
    }
}

/*
 * ACPI 6.5, 5.3.1 Predefined Root Namespaces.  A single name, which is not of
 * @scope, is searched for upwards, and found there.
 */
static const char *predefined(const char *path, const char *scope)
{
    static const char *const names[] = { "\\", "\\_SB", "\\_GPE" };

    for (int i = 0; i < ARRAY_SIZE(names); i++) {
        g_autofree char *searched = g_strdup_printf("%s.%s", scope,
                                                    names[i] + 1);

        if (g_str_equal(path, names[i]) || g_str_equal(path, searched)) {
            return names[i];
        }
    }
    return NULL;
}

static void walk_terms(Walk *walk, const uint8_t *end, const char *scope)
{
    while (walk->at < end) {
        uint8_t op = take(walk, 1);

        switch (op) {
        case SCOPE_OP: {
            const uint8_t *scope_end = take_end(walk);
            g_autofree char *path = take_path(walk, scope);

            const char *root = predefined(path, scope);

            if (!root && !dsdt_find(walk->devices, path)) {
                g_error("Scope (%s) comes before its Device", path);
            }
            walk_terms(walk, scope_end, root ?: path);
            break;
        }
        case NAME_OP:
            walk_name(walk, scope);
            break;
        case METHOD_OP:
            walk->at = take_end(walk);
            break;
        case EXT_OP_PREFIX:
            walk_extended(walk, scope);
            break;
        default:
            g_error("AML opcode 0x%x in %s", op, scope);
        }
    }
    g_assert_true(walk->at == end);
}

GPtrArray *dsdt_walk(const GByteArray *table)
{
    Walk walk = {
        .at = table->data + HEADER_LENGTH,
        .end = table->data + table->len,
        .devices = g_ptr_array_new_with_free_func(device_free),
    };

    walk_terms(&walk, walk.end, "\\");
    return walk.devices;
}

/*
 * The machines that have tables for GPUs with memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "gpu-mem-machine.h"

/* Two nodes with CPUs and memory */
#define NODE_ARGS                                                       \
    "-accel qtest -display none -nodefaults -m 256M -smp 2 "            \
    "-object memory-backend-ram,id=ram0,size=128M "                     \
    "-object memory-backend-ram,id=ram1,size=128M "                     \
    "-numa node,nodeid=0,memdev=ram0,cpus=0 "                           \
    "-numa node,nodeid=1,memdev=ram1,cpus=1 "

static const GpuMemMachine machines[] = {
    { "aarch64", "virt", "-cpu cortex-a57", .express = true },
    { "x86_64", "q35", "", .express = true },
    { "x86_64", "pc", "" },
};

const GpuMemMachine *gpu_mem_next_machine(const GpuMemMachine *machine)
{
    machine = machine ? machine + 1 : machines;
    while (machine < machines + ARRAY_SIZE(machines)) {
        if (g_str_equal(machine->arch, qtest_get_arch()) &&
            qtest_has_machine(machine->type)) {
            return machine;
        }
        machine++;
    }
    return NULL;
}

QTestState *gpu_mem_start(const GpuMemMachine *machine, const char *fmt, ...)
{
    g_autofree char *args = NULL;
    va_list ap;

    va_start(ap, fmt);
    args = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return qtest_initf("-machine %s %s " NODE_ARGS "%s", machine->type,
                       machine->args, args);
}

#define VIRT_ECAM 0x4010000000ULL
#define X86_CONFIG_ADDRESS 0xcf8
#define X86_CONFIG_DATA 0xcfc

static bool is_x86(void)
{
    return g_str_equal(qtest_get_arch(), "x86_64");
}

/* On x86 a port, which is first made to stand for that register */
static uint64_t config_address(QTestState *qts, int bus, int devfn, int offset)
{
    if (is_x86()) {
        qtest_outl(qts, X86_CONFIG_ADDRESS,
                   1u << 31 | bus << 16 | devfn << 8 | (offset & ~3));
        return X86_CONFIG_DATA + (offset & 3);
    }
    return VIRT_ECAM + (bus << 20 | devfn << 12 | offset);
}

uint8_t pci_config_readb(QTestState *qts, int bus, int devfn, int offset)
{
    uint64_t address = config_address(qts, bus, devfn, offset);

    return is_x86() ? qtest_inb(qts, address) : qtest_readb(qts, address);
}

void pci_config_writeb(QTestState *qts, int bus, int devfn, int offset,
                       uint8_t value)
{
    uint64_t address = config_address(qts, bus, devfn, offset);

    if (is_x86()) {
        qtest_outb(qts, address, value);
    } else {
        qtest_writeb(qts, address, value);
    }
}

void pci_config_writew(QTestState *qts, int bus, int devfn, int offset,
                       uint16_t value)
{
    uint64_t address = config_address(qts, bus, devfn, offset);

    if (is_x86()) {
        qtest_outw(qts, address, value);
    } else {
        qtest_writew(qts, address, value);
    }
}

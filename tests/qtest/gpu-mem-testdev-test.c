/*
 * QTest of gpu-mem-testdev, the stand-in for a GPU with memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "standard-headers/linux/pci_regs.h"
#include "libqtest.h"
#include "libqos/generic-pcihost.h"
#include "libqos/pci-pc.h"

/* The registers in BAR0 */
#define RAISE 0x0
#define STATUS 0x4
#define ACK 0x8
#define C2C_LINK_STATUS 0x1498
#define HBM_TRAINING_STATUS 0x200bc

#define NUM_VECTORS 4

/* What starts a machine, and where things are in it */
typedef struct Platform {
    const char *arch;
    const char *machine;
    uint64_t message;       /* RAM that QEMU leaves empty, for a message */
    uint64_t ecam;          /* 0: a PC, whose config space is at I/O ports */
    uint64_t mmio;
    uint64_t mmio_limit;
} Platform;

static const Platform platforms[] = {
    {
        .arch = "aarch64",
        .machine = "-machine virt",
        .message = 0x42000000,
        .ecam = 0x4010000000,
        .mmio = 0x10000000,
        .mmio_limit = 0x2eff0000,
    }, {
        /* Native hot-plug as on virt, instead of that by ACPI */
        .arch = "x86_64",
        .machine = "-machine q35 "
            "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
        .message = 0x2000000,
    },
};

static const Platform *platform;

#define DEVFN QPCI_DEVFN(4, 0)

#define MEM "-object memory-backend-ram,id=hbm,size=2M "
#define RESMEM "-object memory-backend-ram,id=res,size=1M "
#define GPU "-device gpu-mem-testdev,id=gpu0,addr=4,memdev=hbm"

typedef struct Vm {
    QTestState *qts;
    QGenericPCIBus generic;
    QPCIBusPC pc;
    QPCIBus *bus;
    QPCIDevice *dev;        /* that at DEVFN */
} Vm;

static Vm *vm_start(const char *args)
{
    Vm *vm = g_new0(Vm, 1);

    vm->qts = qtest_initf("%s -accel qtest -nodefaults -display none -m 128M "
                          "%s", platform->machine, args);
    if (platform->ecam) {
        qpci_init_generic(&vm->generic, vm->qts, NULL, false);
        vm->generic.ecam_alloc_ptr = platform->ecam;
        vm->generic.bus.mmio_alloc_ptr = platform->mmio;
        vm->generic.bus.mmio_limit = platform->mmio_limit;
        vm->bus = &vm->generic.bus;
    } else {
        qpci_init_pc(&vm->pc, vm->qts, NULL);
        vm->bus = &vm->pc.bus;
    }
    vm->dev = qpci_device_find(vm->bus, DEVFN);
    g_assert_nonnull(vm->dev);
    return vm;
}

static void vm_quit(Vm *vm)
{
    qtest_quit(vm->qts);
    g_free(vm->dev);
    g_free(vm);
}

/* The device in @slot behind the bridge at DEVFN; NULL if there is none */
static QPCIDevice *device_behind(Vm *vm, int slot)
{
    int bus_nr = 1;

    qpci_config_writeb(vm->dev, PCI_SECONDARY_BUS, bus_nr);
    qpci_config_writeb(vm->dev, PCI_SUBORDINATE_BUS, bus_nr);
    return qpci_device_find(vm->bus, bus_nr << 8 | QPCI_DEVFN(slot, 0));
}

/* Map BAR0, which is enough for a driver that leaves the memory alone */
static QPCIBar map_registers(QPCIDevice *dev)
{
    QPCIBar bar = qpci_iomap(dev, 0, NULL);

    qpci_device_enable(dev);
    return bar;
}

static bool intx_is_high(QPCIDevice *dev)
{
    return qpci_config_readw(dev, PCI_STATUS) & PCI_STATUS_INTERRUPT;
}

static void assert_ids(QPCIDevice *dev, uint16_t vendor, uint16_t device,
                       uint16_t sub_vendor, uint16_t sub_device)
{
    g_assert_cmphex(qpci_config_readw(dev, PCI_VENDOR_ID), ==, vendor);
    g_assert_cmphex(qpci_config_readw(dev, PCI_DEVICE_ID), ==, device);
    g_assert_cmphex(qpci_config_readw(dev, PCI_SUBSYSTEM_VENDOR_ID), ==,
                    sub_vendor);
    g_assert_cmphex(qpci_config_readw(dev, PCI_SUBSYSTEM_ID), ==, sub_device);
}

/* What a driver of NVIDIA's GPUs waits for: 0xff, once it is ready */
static void assert_status(Vm *vm, uint32_t value)
{
    QPCIBar regs = map_registers(vm->dev);

    g_assert_cmphex(qpci_io_readl(vm->dev, regs, C2C_LINK_STATUS), ==, value);
    g_assert_cmphex(qpci_io_readl(vm->dev, regs, HBM_TRAINING_STATUS), ==,
                    value);
}

static void test_ids(void)
{
    Vm *vm = vm_start(MEM GPU);

    assert_ids(vm->dev, 0x1234, 0x11ea, 0x1af4, 0x1100);
    g_assert_cmphex(qpci_config_readw(vm->dev, PCI_CLASS_DEVICE), ==, 0x0302);
    g_assert_cmpint(qpci_config_readb(vm->dev, PCI_INTERRUPT_PIN), ==, 1);
    assert_status(vm, 0);
    vm_quit(vm);

    vm = vm_start(MEM GPU ",vendor-id=0x10de,device-id=0x2342,"
                  "sub-vendor-id=0x10df,sub-device-id=0x16eb");
    assert_ids(vm->dev, 0x10de, 0x2342, 0x10df, 0x16eb);
    assert_status(vm, 0xff);
    vm_quit(vm);
}

/* Expect the 64-bit BAR @bar to have @size; 0: there is no such BAR */
static void assert_mem_bar(QPCIDevice *dev, int bar, uint64_t size)
{
    uint8_t reg = PCI_BASE_ADDRESS_0 + 4 * bar;
    uint64_t value;

    qpci_config_writel(dev, reg, UINT32_MAX);
    qpci_config_writel(dev, reg + 4, UINT32_MAX);
    value = qpci_config_readl(dev, reg) |
            (uint64_t)qpci_config_readl(dev, reg + 4) << 32;
    g_assert_cmphex(value, ==, !size ? 0 :
                    -size | PCI_BASE_ADDRESS_MEM_TYPE_64 |
                    PCI_BASE_ADDRESS_MEM_PREFETCH);
}

static void test_bars(void)
{
    Vm *vm = vm_start(MEM GPU);

    qpci_config_writel(vm->dev, PCI_BASE_ADDRESS_0, UINT32_MAX);
    g_assert_cmphex(qpci_config_readl(vm->dev, PCI_BASE_ADDRESS_0), ==,
                    (uint32_t)(-256 * KiB));
    g_assert_cmphex(qpci_config_readl(vm->dev, PCI_BASE_ADDRESS_1), ==, 0);
    assert_mem_bar(vm->dev, 2, 0);
    assert_mem_bar(vm->dev, 4, 2 * MiB);
    vm_quit(vm);

    vm = vm_start(RESMEM
                  "-object memory-backend-ram,id=hbm,size=8G,reserve=off "
                  GPU ",resmemdev=res");
    assert_mem_bar(vm->dev, 2, 1 * MiB);
    assert_mem_bar(vm->dev, 4, 8 * GiB);
    vm_quit(vm);
}

/* A file that is memory of the device, and what is in it */
typedef struct MemFile {
    char *name;
    uint32_t *data;
    size_t size;
} MemFile;

static MemFile mem_file(size_t size)
{
    g_autoptr(GError) err = NULL;
    MemFile file = { .size = size };
    int fd = g_file_open_tmp("gpu-mem-XXXXXX", &file.name, &err);

    g_assert_no_error(err);
    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    file.data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(file.data != MAP_FAILED);
    close(fd);
    return file;
}

static void mem_file_delete(MemFile *file)
{
    munmap(file->data, file->size);
    unlink(file->name);
    g_free(file->name);
}

/* What the guest writes to a BAR the file has, and the other way round */
static void assert_shared(Vm *vm, QPCIBar bar, MemFile *file)
{
    size_t last = file->size / sizeof(uint32_t) - 1;

    qpci_io_writel(vm->dev, bar, 0, 0x12345678);
    g_assert_cmphex(le32_to_cpu(file->data[0]), ==, 0x12345678);
    file->data[last] = cpu_to_le32(0x9abcdef0);
    g_assert_cmphex(qpci_io_readl(vm->dev, bar, last * sizeof(uint32_t)), ==,
                    0x9abcdef0);
}

static void test_memory(void)
{
    MemFile hbm = mem_file(2 * MiB);
    MemFile res = mem_file(1 * MiB);
    g_autofree char *args = g_strdup_printf(
        "-object memory-backend-file,id=hbm,size=2M,share=on,mem-path=%s "
        "-object memory-backend-file,id=res,size=1M,share=on,mem-path=%s "
        GPU ",resmemdev=res", hbm.name, res.name);
    Vm *vm = vm_start(args);
    QPCIBar bar2 = qpci_iomap(vm->dev, 2, NULL);
    QPCIBar bar4 = qpci_iomap(vm->dev, 4, NULL);

    qpci_device_enable(vm->dev);
    assert_shared(vm, bar4, &hbm);
    g_assert_cmphex(res.data[0], ==, 0);
    assert_shared(vm, bar2, &res);
    vm_quit(vm);
    mem_file_delete(&hbm);
    mem_file_delete(&res);
}

static void test_express(void)
{
    Vm *vm = vm_start(MEM GPU);

    g_assert_cmphex(qpci_find_capability(vm->dev, PCI_CAP_ID_EXP, 0), !=, 0);
    vm_quit(vm);
}

static void test_conventional(void)
{
    Vm *vm = vm_start(MEM "-device pcie-pci-bridge,id=br0,addr=4 "
                      "-device gpu-mem-testdev,memdev=hbm,bus=br0,addr=1");
    g_autofree QPCIDevice *dev = device_behind(vm, 1);

    g_assert_nonnull(dev);
    g_assert_cmphex(qpci_config_readw(dev, PCI_DEVICE_ID), ==, 0x11ea);
    g_assert_cmphex(qpci_find_capability(dev, PCI_CAP_ID_EXP, 0), ==, 0);
    g_assert_cmphex(qpci_find_capability(dev, PCI_CAP_ID_MSIX, 0), !=, 0);
    vm_quit(vm);
}

static void assert_intx_works(Vm *vm)
{
    QPCIDevice *dev = vm->dev;
    QPCIBar regs = map_registers(dev);

    g_assert_cmphex(qpci_io_readl(dev, regs, STATUS), ==, 0);
    g_assert_false(intx_is_high(dev));

    qpci_io_writel(dev, regs, RAISE, 0);
    qpci_io_writel(dev, regs, RAISE, NUM_VECTORS - 1);
    g_assert_cmphex(qpci_io_readl(dev, regs, STATUS), ==, 0x9);
    g_assert_true(intx_is_high(dev));

    /* It stays up until all is acknowledged */
    qpci_io_writel(dev, regs, ACK, 0x1);
    g_assert_cmphex(qpci_io_readl(dev, regs, STATUS), ==, 0x8);
    g_assert_true(intx_is_high(dev));
    qpci_io_writel(dev, regs, ACK, 0x8);
    g_assert_cmphex(qpci_io_readl(dev, regs, STATUS), ==, 0);
    g_assert_false(intx_is_high(dev));
}

static void test_intx(void)
{
    Vm *vm = vm_start(MEM GPU);

    assert_intx_works(vm);
    vm_quit(vm);
}

/* No vector of this number, no register of this kind: nothing happens */
static void test_wrong_writes(void)
{
    Vm *vm = vm_start(MEM GPU);
    QPCIBar regs = map_registers(vm->dev);

    qpci_io_writel(vm->dev, regs, RAISE, NUM_VECTORS);
    qpci_io_writel(vm->dev, regs, RAISE, 32);
    qpci_io_writel(vm->dev, regs, RAISE, UINT32_MAX);
    qpci_io_writel(vm->dev, regs, STATUS, 1);
    qpci_io_writel(vm->dev, regs, ACK + 4, 1);
    g_assert_cmphex(qpci_io_readl(vm->dev, regs, STATUS), ==, 0);
    g_assert_false(intx_is_high(vm->dev));
    vm_quit(vm);
}

/* In QEMU 10.0 this leaves the machine without MSI; in 10.2 it does not */
static void test_without_msi(void)
{
    Vm *vm = vm_start(MEM GPU " -machine gic-version=3,its=off");

    if (qpci_find_capability(vm->dev, PCI_CAP_ID_MSIX, 0)) {
        g_test_skip("this machine has MSI with its=off, too");
    } else {
        assert_intx_works(vm);
    }
    vm_quit(vm);
}

/* Have MSI-X @vector write @data to RAM */
static void set_msix_message(QPCIDevice *dev, int vector, uint32_t data)
{
    uint64_t entry = dev->msix_table_off + vector * PCI_MSIX_ENTRY_SIZE;

    qpci_io_writel(dev, dev->msix_table_bar, entry + PCI_MSIX_ENTRY_LOWER_ADDR,
                   platform->message);
    qpci_io_writel(dev, dev->msix_table_bar, entry + PCI_MSIX_ENTRY_UPPER_ADDR,
                   platform->message >> 32);
    qpci_io_writel(dev, dev->msix_table_bar, entry + PCI_MSIX_ENTRY_DATA, data);
    qpci_io_writel(dev, dev->msix_table_bar, entry + PCI_MSIX_ENTRY_VECTOR_CTRL,
                   0);
}

static void test_msix(void)
{
    Vm *vm = vm_start(MEM GPU);
    QPCIDevice *dev = vm->dev;
    QPCIBar regs;

    qpci_device_enable(dev);
    qpci_msix_enable(dev);
    regs = dev->msix_table_bar;
    g_assert_cmpint(qpci_msix_table_size(dev), ==, NUM_VECTORS);

    /* After a reset the vectors are masked: what they are to send waits */
    qpci_io_writel(dev, regs, RAISE, 2);
    g_assert_true(qpci_msix_pending(dev, 2));
    g_assert_false(qpci_msix_pending(dev, 1));
    g_assert_cmphex(qpci_io_readl(dev, regs, STATUS), ==, 0x4);
    g_assert_cmphex(qtest_readl(vm->qts, platform->message), ==, 0);

    set_msix_message(dev, 2, 0xcafe);
    g_assert_false(qpci_msix_pending(dev, 2));
    g_assert_cmphex(qtest_readl(vm->qts, platform->message), ==, 0xcafe);

    set_msix_message(dev, 3, 0xbeef);
    qpci_io_writel(dev, regs, RAISE, 3);
    g_assert_cmphex(qtest_readl(vm->qts, platform->message), ==, 0xbeef);
    g_assert_false(qpci_msix_pending(dev, 3));

    g_assert_false(intx_is_high(dev));
    qpci_io_writel(dev, regs, ACK, 0xc);
    g_assert_cmphex(qpci_io_readl(dev, regs, STATUS), ==, 0);
    vm_quit(vm);
}

static void test_reset(void)
{
    Vm *vm = vm_start(MEM GPU);
    QPCIDevice *dev = vm->dev;
    QPCIBar regs = map_registers(dev);

    qpci_io_writel(dev, regs, RAISE, 1);
    g_assert_true(intx_is_high(dev));
    qpci_msix_enable(dev);
    qpci_io_writel(dev, dev->msix_table_bar, RAISE, 2);

    qtest_system_reset(vm->qts);
    g_assert_cmphex(qpci_config_readl(dev, PCI_BASE_ADDRESS_0), ==, 0);
    regs = map_registers(dev);
    g_assert_cmphex(qpci_io_readl(dev, regs, STATUS), ==, 0);
    g_assert_false(intx_is_high(dev));

    /* INTx again, and no vector is pending */
    qpci_io_writel(dev, regs, RAISE, 0);
    g_assert_true(intx_is_high(dev));
    qpci_msix_enable(dev);
    g_assert_false(qpci_msix_pending(dev, 2));
    vm_quit(vm);
}

static void wait_for_migration(QTestState *qts)
{
    const char *status;

    do {
        g_autoptr(QDict) rsp = qtest_qmp_eventwait_ref(qts, "MIGRATION");

        status = qdict_get_str(qdict_get_qdict(rsp, "data"), "status");
        g_assert_cmpstr(status, !=, "failed");
        if (g_str_equal(status, "completed")) {
            return;
        }
    } while (true);
}

static void test_migration(void)
{
    g_autofree char *dir = g_dir_make_tmp("migration-XXXXXX", NULL);
    g_autofree char *socket = g_strdup_printf("%s/socket", dir);
    g_autofree char *uri = g_strdup_printf("unix:%s", socket);
    g_autofree char *to_args = g_strdup_printf(MEM RESMEM GPU ",resmemdev=res "
                                               "-incoming %s", uri);
    Vm *from = vm_start(MEM RESMEM GPU ",resmemdev=res");
    Vm *to = vm_start(to_args);
    QPCIDevice *dev = from->dev;
    QPCIBar bar2 = qpci_iomap(dev, 2, NULL);
    QPCIBar bar4 = qpci_iomap(dev, 4, NULL);
    QPCIBar regs;

    qpci_device_enable(dev);
    qpci_msix_enable(dev);
    regs = dev->msix_table_bar;
    qpci_io_writel(dev, bar2, 1 * MiB - 4, 0x02020202);
    qpci_io_writel(dev, bar4, 2 * MiB - 4, 0x04040404);
    qpci_io_writel(dev, regs, RAISE, 2);

    qtest_qmp_assert_success(from->qts,
                             "{'execute': 'migrate-set-capabilities', "
                             "'arguments': {'capabilities': [ "
                             "{'capability': 'events', 'state': true } ]}}");
    qtest_qmp_assert_success(from->qts, "{'execute': 'migrate', "
                             "'arguments': {'uri': %s}}", uri);
    wait_for_migration(from->qts);
    qtest_qmp_eventwait(to->qts, "RESUME");

    /* The BARs are where the source had them */
    dev->bus = to->bus;
    g_assert_cmphex(qpci_io_readl(dev, bar2, 1 * MiB - 4), ==, 0x02020202);
    g_assert_cmphex(qpci_io_readl(dev, bar4, 2 * MiB - 4), ==, 0x04040404);
    g_assert_cmphex(qpci_io_readl(dev, regs, STATUS), ==, 0x4);
    g_assert_true(qpci_msix_pending(dev, 2));
    set_msix_message(dev, 2, 0xcafe);
    g_assert_cmphex(qtest_readl(to->qts, platform->message), ==, 0xcafe);

    vm_quit(from);
    vm_quit(to);
    unlink(socket);
    rmdir(dir);
}

#define ROOT_PORT "-device pcie-root-port,id=rp0,addr=4,chassis=1 "

/* Ask for a device gpu0 below the root port; without what is NULL */
static QDict *device_arguments(const char *memdev, const char *resmemdev)
{
    QDict *arguments = qdict_new();

    qdict_put_str(arguments, "driver", "gpu-mem-testdev");
    qdict_put_str(arguments, "id", "gpu0");
    qdict_put_str(arguments, "bus", "rp0");
    if (memdev) {
        qdict_put_str(arguments, "memdev", memdev);
    }
    if (resmemdev) {
        qdict_put_str(arguments, "resmemdev", resmemdev);
    }
    return arguments;
}

static void device_add(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{'execute': 'device_add', "
                             "'arguments': %p}",
                             device_arguments("hbm", "res"));
}

static void object_del(QTestState *qts, const char *id)
{
    qtest_qmp_assert_success(qts, "{'execute': 'object-del', "
                             "'arguments': {'id': %s}}", id);
}

/* A device with these backends is refused, on the command line with a hint */
typedef struct RefusedCase {
    const char *memdev;
    const char *resmemdev;
    const char *fact;
    const char *hint;
} RefusedCase;

/* The start of an error about device gpu0 */
#define GPU0 "gpu-mem-testdev device 'gpu0': "

#define CREATE_MEMORY                                                   \
    "Create the memory, such as with -object memory-backend-ram, "      \
    "and give its id."

static const RefusedCase refused_cases[] = {
    { NULL, NULL, GPU0 "memdev: it is not set", CREATE_MEMORY },
    { NULL, "hbm", GPU0 "memdev: it is not set", CREATE_MEMORY },
    {
        "busy", NULL, GPU0 "memdev=busy: the backend is in use already",
        "Create another one.",
    }, {
        "hbm", "busy", GPU0 "resmemdev=busy: the backend is in use already",
        "Create another one.",
    }, {
        "hbm", "hbm", GPU0 "resmemdev=hbm: memdev is this backend too",
        "Create another one.",
    }, {
        "odd", NULL,
        GPU0 "memdev=odd: the backend has 3145728 bytes, but the size of a BAR "
        "is a power of two, here at least 4096",
        "Give the backend size=4194304.",
    }, {
        "hbm", "small",
        GPU0 "resmemdev=small: the backend has 2048 bytes, but the size of a "
        "BAR is a power of two, here at least 4096",
        "Give the backend size=4096.",
    }, {
        "page-and-byte", NULL,
        GPU0 "memdev=page-and-byte: the backend has 4097 bytes, but the size "
        "of a BAR is a power of two, here at least 4096",
        "Give the backend size=8192.",
    },
};

#define REFUSED_ARGS                                                    \
    MEM ROOT_PORT "-object memory-backend-ram,id=busy,size=1M "         \
    "-object memory-backend-ram,id=odd,size=3M "                        \
    "-object memory-backend-ram,id=small,size=2K "                      \
    "-object memory-backend-ram,id=page-and-byte,size=4097 "            \
    "-device gpu-mem-testdev,addr=5,memdev=busy "

static void assert_refused_at_start(const RefusedCase *c)
{
    g_autoptr(QDict) arguments = device_arguments(c->memdev, c->resmemdev);
    g_autoptr(GString) json = qobject_to_json(QOBJECT(arguments));
    g_autofree char *command = g_strdup_printf(
        "%s %s -accel qtest -nodefaults -display none -m 128M " REFUSED_ARGS
        "-device '%s'", getenv("QTEST_QEMU_BINARY"), platform->machine,
        json->str);
    g_autofree char *expected = g_strdup_printf("%s\n%s\n", c->fact, c->hint);
    g_autofree char *printed = NULL;
    const char *argv[] = { "/bin/sh", "-c", command, NULL };
    int status;

    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL,
                               NULL, NULL, &printed, &status, NULL));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    if (!g_str_has_suffix(printed, expected)) {
        g_error("not %s, but %s", expected, printed);
    }
}

static void test_refused(void)
{
    Vm *vm = vm_start(REFUSED_ARGS);

    for (int i = 0; i < ARRAY_SIZE(refused_cases); i++) {
        const RefusedCase *c = &refused_cases[i];
        g_autoptr(QDict) error = qtest_qmp_assert_failure_ref(
            vm->qts, "{'execute': 'device_add', 'arguments': %p}",
            device_arguments(c->memdev, c->resmemdev));

        g_assert_cmpstr(qdict_get_str(error, "desc"), ==, c->fact);
        assert_refused_at_start(c);
    }

    /* What was refused has not taken its backends */
    object_del(vm->qts, "hbm");
    object_del(vm->qts, "odd");
    object_del(vm->qts, "small");
    vm_quit(vm);
}

/* What a guest does for a new device, or for one that it is asked for */
static void set_slot_power(QPCIDevice *port, bool on)
{
    uint8_t cap = qpci_find_capability(port, PCI_CAP_ID_EXP, 0);

    g_assert_cmphex(cap, !=, 0);
    qpci_config_writew(port, cap + PCI_EXP_SLTCTL, on ?
                       PCI_EXP_SLTCTL_PWR_IND_ON :
                       PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PCC);
}

static void assert_busy(QTestState *qts, const char *id)
{
    g_autofree char *message = g_strdup_printf(
        "object '%s' is in use, can not be deleted", id);
    g_autoptr(QDict) error = qtest_qmp_assert_failure_ref(
        qts, "{'execute': 'object-del', 'arguments': {'id': %s}}", id);

    g_assert_cmpstr(qdict_get_str(error, "desc"), ==, message);
}

static void test_hot_plug(void)
{
    Vm *vm = vm_start(MEM RESMEM ROOT_PORT);

    g_assert_null(device_behind(vm, 0));
    for (int i = 0; i < 3; i++) {
        g_autofree QPCIDevice *dev = NULL;

        device_add(vm->qts);
        set_slot_power(vm->dev, true);
        dev = device_behind(vm, 0);
        g_assert_nonnull(dev);
        g_assert_cmphex(qpci_config_readw(dev, PCI_DEVICE_ID), ==, 0x11ea);
        assert_mem_bar(dev, 2, 1 * MiB);
        assert_mem_bar(dev, 4, 2 * MiB);
        assert_busy(vm->qts, "hbm");
        assert_busy(vm->qts, "res");

        qtest_qmp_assert_success(vm->qts, "{'execute': 'device_del', "
                                 "'arguments': {'id': 'gpu0'}}");
        set_slot_power(vm->dev, false);
        qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
        g_assert_null(device_behind(vm, 0));
    }

    object_del(vm->qts, "hbm");
    object_del(vm->qts, "res");
    vm_quit(vm);
}

int main(int argc, char **argv)
{
    const char *arch = qtest_get_arch();

    g_test_init(&argc, &argv, NULL);

    for (int i = 0; i < ARRAY_SIZE(platforms); i++) {
        if (g_str_equal(platforms[i].arch, arch)) {
            platform = &platforms[i];
        }
    }
    g_assert_nonnull(platform);

    qtest_add_func("/gpu-mem-testdev/ids", test_ids);
    qtest_add_func("/gpu-mem-testdev/bars", test_bars);
    qtest_add_func("/gpu-mem-testdev/memory", test_memory);
    qtest_add_func("/gpu-mem-testdev/express", test_express);
    qtest_add_func("/gpu-mem-testdev/conventional", test_conventional);
    qtest_add_func("/gpu-mem-testdev/intx", test_intx);
    qtest_add_func("/gpu-mem-testdev/msix", test_msix);
    qtest_add_func("/gpu-mem-testdev/wrong-writes", test_wrong_writes);
    qtest_add_func("/gpu-mem-testdev/reset", test_reset);
    qtest_add_func("/gpu-mem-testdev/migration", test_migration);
    qtest_add_func("/gpu-mem-testdev/refused", test_refused);
    qtest_add_func("/gpu-mem-testdev/hot-plug", test_hot_plug);
    if (g_str_equal(arch, "aarch64")) {
        qtest_add_func("/gpu-mem-testdev/without-msi", test_without_msi);
    }
    return g_test_run();
}

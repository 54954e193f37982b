/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For NVIDIA's driver 550.163.01 with kernels that are newer than it: what
 * Debian's 6.12.117 took over from Linux 6.18.
 */

/* pci_resize_resource() has a fourth parameter: the BARs to leave alone */
#define COMPAT_FIRST(first, ...) first
#define pci_resize_resource(dev, bar, size, ...)                              \
    pci_resize_resource(dev, bar, size,                                       \
                        COMPAT_FIRST(__VA_ARGS__ __VA_OPT__(,) 0))

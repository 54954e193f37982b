# SPDX-License-Identifier: GPL-2.0-or-later
#
# From where "make install" puts things to where the package has them
s,/usr/local/bin/qemu-system-aarch64,/usr/bin/qemu-system-aarch64-gpu-mem,
s,^exec qemu-system-aarch64,&-gpu-mem,
s,/usr/local/share/qemu/edk2,/usr/share/AAVMF/gpu-mem/edk2,

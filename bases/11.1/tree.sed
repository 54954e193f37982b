# SPDX-License-Identifier: GPL-2.0-or-later
#
# What 11.1 changed for this tree

# A message of QEMU's
s/object '%s' is in use, can not be deleted/Cannot delete host memory backend '%s' which is mapped/

# sp-mem is a memory device: of the patch of the refusals
s/(pc-dimm, nvdimm, virtio-mem)/(pc-dimm, nvdimm, virtio-mem, sp-mem)/
/^hw\/mem\/memory-device\.c\.ed$/{
n
s,^hw/mem/pc-dimm\.c\.ed$,&\nhw/mem/sp-mem.c.ed,
}

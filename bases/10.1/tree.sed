# SPDX-License-Identifier: GPL-2.0-or-later
#
# What 10.1 changed for this tree, which is written for 10.0

# The data of a class_init function is const
/_class_init(ObjectClass \*[a-z]*,$/N
s/\(_class_init(ObjectClass \*[a-z]*,[ \n]*\)void \*/\1const void */

# The DSDT of arm virt names the devices below PCI0
s/\(\.pci0_named = \)false/\1true/

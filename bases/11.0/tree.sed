# SPDX-License-Identifier: GPL-2.0-or-later
#
# What 11.0 changed for this tree: headers moved.  In an address of an .ed script
# a slash has a backslash before it.
s,hw\(\\*/\)boards\.h,hw\1core\1boards.h,
s,hw\(\\*/\)qdev-core\.h,hw\1core\1qdev.h,
s,hw\(\\*/\)qdev-properties\.h,hw\1core\1qdev-properties.h,

# SPDX-License-Identifier: GPL-2.0-or-later
#
# Where an install is and what is recorded of it.  To be sourced, after lib.sh,
# with $build, the build folder, and $prefix, empty for that of ./configure.

# PREFIX need not be text in the user's locale, and all sort in one order
export LC_ALL=C

configured=$(sed -n 's/^#define CONFIG_PREFIX "\(.*\)"$/\1/p' \
    "$build/qemu/config-host.h" 2>/dev/null || :)
prefix=${prefix:-$configured}
case $prefix in
/*) ;;
'') die "$build has no QEMU; tell where it is installed: PREFIX=DIR" ;;
*) die "PREFIX=$prefix: give an absolute path" ;;
esac
# What is recorded is a line each
[ "$(printf '%s\n' "$prefix" | wc -l)" -eq 1 ] ||
    die "PREFIX=$prefix: give a path of one line"
prefix=${prefix%/}

# For packagers: what is below it is moved to / later
destdir=${DESTDIR-}
destdir=${destdir%/}

# All that was put there, a line each, as it is called without DESTDIR;
# directories that were made end with a slash.
record=$destdir$prefix/share/qemu/nvidia-gpu-mem-acpi.installed
# A record in a folder that was moved names files in the old place
[ ! -e "$record" ] || grep -qxF "${record#"$destdir"}" "$record" ||
    die "$record is of an install in another folder: give the PREFIX and" \
        "DESTDIR of the install"

# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the shell scripts of this project share.  To be sourced.

# By it, cd would go to another folder of the same name
unset CDPATH

# The top folder of this project: the script is somewhere below it
top=$(cd -P "$(dirname "$0")" &&
    until [ -f scripts/lib.sh ] || [ "$(pwd)" = / ]; do cd ..; done && pwd)

# What ./configure puts into a build folder
marker=.nvidia-gpu-mem-acpi

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# step MESSAGE LOG COMMAND...: run a long step, with its output in LOG
step() {
    step_message=$1 step_log=$2
    shift 2
    mkdir -p "$(dirname "$step_log")"
    printf '%s ... ' "$step_message"
    step_start=$(date +%s)
    # Not "if": what it tests runs without set -e
    set +e
    (
        set -e
        "$@"
    ) >"$step_log" 2>&1 </dev/null
    step_status=$?
    set -e
    if [ $step_status -ne 0 ]; then
        echo failed
        tail -n 20 "$step_log" >&2
        die "$step_message failed; the whole log: $step_log"
    fi
    echo "$(($(date +%s) - step_start)) s"
}

# in_build_folder DIR...: die unless each is a build folder or in one.  A script
# removes things only there.
in_build_folder() {
    for dir; do
        above=$(realpath -ms -- "$dir")
        until [ -e "$above/$marker" ]; do
            above=${above%/*}
            [ -n "$above" ] ||
                die "$dir is not in a build folder, which ./configure makes"
        done
    done
}

# git in the prepared base, whoever owns it: $build is the build folder
base_git() {
    git -c safe.directory="$build/base" -C "$build/base" "$@"
}

# clone_base REPO [OPTION...]: with the files of the prepared base where they are.
# The program that reads the base takes no option of git's own.
clone_base() {
    clone_to=$1
    shift
    base_git clone -q --shared -u 'git -c safe.directory=* upload-pack' "$@" \
        "$build/base" "$clone_to"
}

# at_least VERSION WANTED: compare dotted numbers
at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

# base_at_least BUILD WANTED: whether the base in BUILD is of this release of QEMU, or
# of a later one.  A development version, such as 11.1.50, counts as the next release.
# Each major version ends with its release 2.
base_at_least() {
    at_least "$(awk -F. '$3 + 0 >= 50 { $2++ } $2 > 2 { $1++; $2 = 0 }
                         { print $1 "." $2 }' "$1/base/VERSION")" "$2"
}

# os_release NAME [ROOT]: of this machine, or of the Debian in ROOT
os_release() {
    [ ! -r "${2-}/etc/os-release" ] ||
        (. "${2-}/etc/os-release" && eval "echo \${$1-}")
}

# qemu_packages: those of Debian that QEMU is linked with
qemu_packages() {
    echo libc6-dev libglib2.0-dev zlib1g-dev
    sed -n 's/^[a-z][^ ]*//p' "$top/scripts/build/features"
}

# cached COMPILER: the command that compiles by it, with ccache if that is there
cached() {
    ! command -v ccache >/dev/null || printf 'ccache '
    echo "$1"
}

# ccache_in DIR: what is compiled below DIR is found again from a clean clone
# elsewhere.  What isn't found is compiled at once, without the preprocessor
# run alone before: that takes a third off the first build.
# Python's sets have one order, so that QEMU's decodetree writes the same each time.
ccache_in() {
    export CCACHE_BASEDIR="$1" CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1
    export PYTHONHASHSEED=0
}

# The machines whose QEMU is built.  The first is what is installed; the others are
# for the tests: PCs have the objects too, LoongArch the empty nodes and initiators,
# and refuses the objects.
arches="aarch64 x86_64 loongarch64"
other_arches=${arches#* }

# leave_boards_out BASE: BASE/../no-boards.mak is a configuration of devices without
# Arm's boards of other uses, which are a sixth of the build.  QEMU's default.mak has a
# line in a comment for most; ALLWINNER_R40 has none, and would abort without the SD
# host of ALLWINNER_H3.  RASPI is for the tests, as a machine without ACPI tables.
leave_boards_out() {
    {
        cat "$1"/configs/devices/arm-softmmu/default.mak \
            "$1"/configs/devices/aarch64-softmmu/default.mak
        echo CONFIG_ALLWINNER_R40=n
    } | sed -n 's/^[# ]*\(CONFIG_[A-Z0-9_]*=n\)$/\1/p' |
        grep -v -e _DEVICES= -e _VIRT= -e _SBSA_REF= -e _RASPI= \
            >"$1/../no-boards.mak"
}
without_boards=--with-devices-aarch64=../../../../no-boards     # of configs/devices

# link_bios DIR: PCs don't start without a BIOS, nor network cards without a ROM, and
# Debian's source package of QEMU has neither.  Links, from where the QEMU in DIR looks
# for them before it is installed, to where they are: the BIOS of the PC guest in $build,
# once it is there, or else the machine's.  Debian 12's (SeaBIOS 1.16.2) waits half a
# minute for a disk of QEMU 10's q35.
link_bios() {
    prefix=$(sed -n 's/^--prefix=//p' "$1/qemu.options")
    bundle=$1/qemu/qemu-bundle
    mkdir -p "$bundle$prefix/share" "$bundle/usr/share" "$bundle/usr/lib"
    ln -sfn "$(realpath "$build")/guest-pc" "$bundle$prefix/share/qemu-firmware"
    ln -sfn /usr/share/qemu "$bundle/usr/share/qemu"
    ln -sfn /usr/share/seabios "$bundle/usr/share/seabios"
    ln -sfn /usr/lib/ipxe "$bundle/usr/lib/ipxe"
}

# installed_files BUILD: what QEMU's build would install of the first, a line each:
# the file, a tab, and its place
installed_files() {
    python3 - "$1/qemu/meson-info/intro-installed.json" $other_arches <<PY
import json, sys
with open(sys.argv[1]) as file:
    installed = json.load(file)
for source, place in installed.items():
    if not place.endswith(tuple(f'/qemu-system-{arch}' for arch in sys.argv[2:])):
        print(source, place, sep='\t')
PY
}

# installed_targets BUILD: what ninja makes of these.  "all" would have QEMU's own
# tests besides, which are more.
installed_targets() {
    # As meson names it
    here=$(cd "$1/qemu" && pwd -P)
    installed_files "$1" | sed -n "s|^$here/\([^	]*\)	.*|\1|p"
}

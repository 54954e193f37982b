# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the shell scripts of this project share.  To be sourced.

# By it, cd would go to another folder of the same name
unset CDPATH

# The top folder of this project: the script is somewhere below it
top=$(cd -P "$(dirname "$0")" &&
    until [ -f scripts/lib.sh ]; do cd ..; done && pwd)

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

# ours DIR...: die unless each is a build folder or in one.  A script removes
# things only there.
ours() {
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

# at_least VERSION WANTED: compare dotted numbers
at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

os_release() {
    [ ! -r /etc/os-release ] || (. /etc/os-release && eval "echo \${$1-}")
}

# ccache_in DIR: what is compiled below DIR is found again from a clean clone
# elsewhere.  What isn't found is compiled at once, without the preprocessor
# run alone before: that takes a third off the first build.
ccache_in() {
    export CCACHE_BASEDIR="$1" CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1
}

# installed_targets BUILD: what ninja makes of all that is installed.  "all" would
# have QEMU's own tests besides, which are more.
installed_targets() {
    (
        cd "$1/qemu"
        here=$(pwd -P)      # as meson names it
        pyvenv/bin/meson introspect --installed . |
            grep -o "\"$here/[^\"]*\": " | sed "s|\"$here/\(.*\)\": |\1|"
    )
}

# SPDX-License-Identifier: GPL-2.0-or-later
#
# For builders that keep what they made.  To be sourced, after lib.sh.

# make_of PRODUCT LOG WHAT COMMAND INPUT...: unless PRODUCT is up to date,
# that is, the checksum of its inputs is the one kept beside it
make_of() {
    product=$1 log=$2 what=$3 command=$4
    shift 4
    sum=$(cat "$@" | sha256sum)
    if [ -e "$product" ] && [ -e "$product.inputs" ] &&
        [ "$sum" = "$(cat "$product.inputs")" ]; then
        return
    fi
    rm -f "$product.inputs"
    step "$what" "$log" "$command"
    echo "$sum" >"$product.inputs"
}

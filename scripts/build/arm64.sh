# SPDX-License-Identifier: GPL-2.0-or-later
#
# For what is fetched and compiled for arm64, whatever this machine is.  To be
# sourced, after lib.sh, with $build, the build folder.

arm64=$top/scripts/build/arm64.sh
cross=aarch64-linux-gnu-
[ "$(dpkg --print-architecture)" != arm64 ] || cross=

# fetch_arm64 STORE SUITE PACKAGE...: make STORE anew.  STORE/root gets what these
# packages of Debian and all that they depend on have, but apt takes those in $assumed
# for installed.  No script of a package runs.  STORE/packages gets the names, and
# STORE/root/DEBIAN what dpkg-shlibdeps is to know of the libraries.
fetch_arm64() {
    store=$1 suite=$2
    shift 2
    apt=${store%/*}/apt-${store##*/}
    "$top/scripts/base/private-apt" "$apt" deb "$suite" arm64
    export APT_CONFIG="$apt/apt.conf"
    for package in ${assumed-}; do
        printf '%s\n' "Package: $package" 'Status: install ok installed' \
            'Version: 0' 'Architecture: arm64' 'Maintainer: none' \
            'Description: none' ''
    done >"$apt/status"
    rm -rf "$store.new"
    mkdir -p "$store.new/partial" "$store.new/root/DEBIAN"
    cd "$store.new"
    apt-get install -y --download-only -o Dir::Cache::archives="$store.new" "$@"
    for package in ./*.deb; do
        dpkg --fsys-tarfile "$package" | tar -x -C root
        for file in shlibs symbols; do
            dpkg --info "$package" $file >>root/DEBIAN/$file 2>/dev/null || :
        done
    done
    ls ./*.deb >packages
    rm -r ./*.deb partial lock
    rm -rf "$store"
    mv "$store.new" "$store"
}

# configure_arm64 OUT STORE WHAT: make OUT/qemu, of the base, with the libraries of
# STORE.  Further options come from the input, a line each.
configure_arm64() {
    out=$1 store=$2 what=$3
    {
        cat
        # Debian's meson belongs to Debian's python3
        printf '%s\n' --python=/usr/bin/python3 --disable-download --enable-kvm \
            "--cross-prefix=$cross" \
            "--cc=$(cached "${cross}gcc") --sysroot=$store/root"
    } >"$out/options.new"
    if cmp -s "$out/options.new" "$out/qemu.options" &&
        [ -f "$out/qemu/build.ninja" ]; then
        return
    fi
    rm -rf "$out/qemu" "$out/qemu.options"
    step "$what" "$out/qemu-configure.log" run_configure
    mv "$out/options.new" "$out/qemu.options"
}

run_configure() {
    libdir=$store/root/usr/lib/aarch64-linux-gnu/pkgconfig
    cat >"$out/pkg-config" <<SCRIPT
#!/bin/sh
export PKG_CONFIG_SYSROOT_DIR=$store/root
export PKG_CONFIG_LIBDIR=$libdir:$store/root/usr/share/pkgconfig
exec pkg-config "\$@"
SCRIPT
    chmod 755 "$out/pkg-config"
    mkdir "$out/qemu"
    cd "$out/qemu"
    PKG_CONFIG=$out/pkg-config xargs -d '\n' -a "$out/options.new" \
        ../../base/configure
}

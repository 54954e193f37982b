#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later

# Four GB200, and the socket that each is near to.  Nodes 0 and 1 have the CPUs,
# 2 to 33 are the GPUs': 8 each.
gpus=(0008:01:00.0 0009:01:00.0 0018:01:00.0 0019:01:00.0)
sockets=(0 0 1 1)
nodes=$((2 + 8 * ${#gpus[@]}))

# The distance of two nodes, as such a host has it
distance() {
    local low=$(($1 < $2 ? $1 : $2)) high=$(($1 < $2 ? $2 : $1))
    local gpu=$(((high - 2) / 8))

    if ((low == high)); then distance=10
    elif ((high < 2)); then distance=40
    elif ((low < 2)); then distance=$((sockets[gpu] == low ? 80 : 120))
    else distance=$(((low - 2) / 8 == gpu ? 11 : 40))
    fi
}

args=(-machine virt,accel=kvm,gic-version=3,highmem-mmio-size=8T
      -cpu host -smp 4,sockets=2,cores=2 -m 64G
      -object memory-backend-ram,id=ram-node0,size=32G
      -object memory-backend-ram,id=ram-node1,size=32G
      -numa node,nodeid=0,memdev=ram-node0,cpus=0-1
      -numa node,nodeid=1,memdev=ram-node1,cpus=2-3
      -object iommufd,id=iommufd0)
for ((node = 2; node < nodes; node++)); do
    args+=(-numa "node,nodeid=$node")
done
for ((src = 0; src < nodes; src++)); do
    for ((dst = 0; dst < nodes; dst++)); do
        distance "$src" "$dst"
        args+=(-numa "dist,src=$src,dst=$dst,val=$distance")
    done
done
for gpu in "${!gpus[@]}"; do
    first=$((2 + 8 * gpu))
    pxb=pxb-pcie,id=pxb$gpu,bus=pcie.0,addr=$((4 + gpu))
    pxb+=,bus_nr=$((128 + 16 * gpu)),numa_node=${sockets[gpu]}
    # 11.0 and types before virt-11.1 want ats=on,ril=off,oas=48,ssidsize=20 besides.
    # QEMU 10 has no accel=
    smmu=arm-smmuv3,primary-bus=pxb$gpu,id=smmu$gpu,accel=on
    port=pcie-root-port,id=port$gpu,bus=pxb$gpu,chassis=$((1 + gpu))
    port+=,io-reserve=0,pref64-reserve=1T
    vfio=vfio-pci-nohotplug,host=${gpus[gpu]},iommufd=iommufd0,rombar=0
    vfio+=,id=gpu$gpu,bus=port$gpu
    mem=nvidia-gpu-mem-acpi,id=mem$gpu,devid=gpu$gpu
    mem+=,nodeset=$first-$((first + 7))
    args+=(-device "$pxb" -device "$smmu" -device "$port" -device "$vfio"
           -object "$mem")
done
exec qemu-system-aarch64 "${args[@]}" "$@"

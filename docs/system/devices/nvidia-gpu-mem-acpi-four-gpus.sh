#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later

# Nodes 0 and 1 have the CPUs, 2 to 33 are the GPUs': 8 each
gpus=(0009:01:00.0 0019:01:00.0 0029:01:00.0 0039:01:00.0)
nodes=$((2 + 8 * ${#gpus[@]}))

args=(-machine virt,accel=kvm,gic-version=3,highmem-mmio-size=4T
      -cpu host -smp 4,sockets=2,cores=2 -m 64G
      -object memory-backend-ram,id=ram-node0,size=32G
      -object memory-backend-ram,id=ram-node1,size=32G
      -numa node,nodeid=0,memdev=ram-node0,cpus=0-1
      -numa node,nodeid=1,memdev=ram-node1,cpus=2-3)
for ((node = 2; node < nodes; node++)); do
    args+=(-numa "node,nodeid=$node")
done
for ((src = 0; src < nodes; src++)); do
    for ((dst = 0; dst < nodes; dst++)); do
        args+=(-numa "dist,src=$src,dst=$dst,val=$((src == dst ? 10 : 11))")
    done
done
for gpu in "${!gpus[@]}"; do
    first=$((2 + 8 * gpu))
    pxb=pxb-pcie,id=pxb$gpu,bus=pcie.0,addr=$((4 + gpu))
    pxb+=,bus_nr=$((128 + 16 * gpu)),numa_node=$((gpu % 2))
    port=pcie-root-port,id=port$gpu,bus=pxb$gpu,chassis=$((1 + gpu))
    port+=,io-reserve=0
    vfio=vfio-pci-nohotplug,host=${gpus[gpu]},rombar=0,id=gpu$gpu,bus=port$gpu
    mem=nvidia-gpu-mem-acpi,id=mem$gpu,devid=gpu$gpu
    mem+=,nodeset=$first-$((first + 7))
    args+=(-device "$pxb" -device "$port" -device "$vfio" -object "$mem")
done
exec qemu-system-aarch64 "${args[@]}" "$@"

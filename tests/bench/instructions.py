# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's start in instructions, counted by valgrind.

It is QEMU's main thread that counts, which does all that the variants differ
in.  Others free what it has left, or don't come to that before the end.  Work
of others on the machine doesn't change the count.
"""

import concurrent.futures
import dataclasses
import os

import callgrind
from start import start
from variants import Variant, arguments

OUR_FILES = tuple(f'/hw/acpi/{name}' for name in (
    'dev-mem-pxm.c', 'dev-mem-pxm-build.c', 'dev-mem-pxm-check.c',
    'nvidia-gpu-mem.c', 'pci-path.c', 'srat-empty-nodes.c'))
# They call ours: to build tables; to complete and to check an object
BUILDERS = ('/hw/arm/virt-acpi-build.c', '/hw/acpi/pci.c')
CHECKERS = ('/qom/object_interfaces.c',)
MAIN_THREAD = '01'
ALL_TABLES = 'virt_acpi_build'
PEERS_TABLES = 'build_srat_generic_affinity_structures'


@dataclasses.dataclass
class Count:
    total: int
    tables: int             # all tables, whoever builds them
    our_tables: int         # of that: our functions, with all that they call
    our_checks: int         # of our objects, before the machine runs
    peers_tables: int       # of tables: the peer's function


def count(qemu: str, folder: str, name: str, args: list[str]) -> Count:
    out = os.path.join(folder, f'callgrind.{name}')
    start(['valgrind', '--tool=callgrind', '--separate-threads=yes',
           f'--callgrind-out-file={out}', qemu, *args], f'{out}.log')
    profile = callgrind.read(f'{out}-{MAIN_THREAD}')
    return Count(profile.total, profile.inclusive(ALL_TABLES),
                 profile.entered(BUILDERS, OUR_FILES),
                 profile.entered(CHECKERS, OUR_FILES),
                 profile.inclusive(PEERS_TABLES))


@dataclasses.dataclass(frozen=True)
class Job:
    variant: Variant
    gpus: int
    switches: int = 0
    run: int = 0

    def name(self) -> str:
        return f'{self.variant.key}-{self.gpus}-{self.switches}-{self.run}'


def count_all(qemu: str, folder: str, jobs: list[Job]) -> dict[Job, Count]:
    """As many at a time as there are processors"""
    def one(job: Job) -> Count:
        return count(qemu, folder, job.name(),
                     arguments(job.variant, job.gpus, job.switches))

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            return dict(zip(jobs, pool.map(one, jobs)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise

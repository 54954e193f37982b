# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's start in instructions, counted by valgrind.

It is QEMU's main thread that counts, which does all that the variants differ
in.  Others free what it has left, or don't come to that before the end.  Work
of others on the machine doesn't change the count.
"""

import concurrent.futures
import dataclasses
import os
import subprocess

import callgrind
import symbols
from start import start
from variants import OURS, Variant, arguments

ACPI = 'hw/acpi'
TREE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
OUR_FILES = tuple(f'{ACPI}/{name}' for name in sorted(
    os.listdir(os.path.join(TREE, ACPI))) if name.endswith('.c'))
# They call ours: to build tables; to complete and to check an object
BUILDERS = ('hw/arm/virt-acpi-build.c', 'hw/acpi/pci.c')
CHECKERS = ('qom/object_interfaces.c', 'hw/core/machine.c')
MAIN_THREAD = '01'
# QEMU's main loop takes io_uring from 11.0 on, and hangs with it under valgrind (3.19).
# It does without where that can't be set up (-ENOSYS).
NO_IO_URING = 'int io_uring_queue_init(void) { return -38; }'
ALL_TABLES = 'virt_acpi_build'
PEERS_TABLES = 'build_srat_generic_affinity_structures'


@dataclasses.dataclass(frozen=True)
class Functions:
    """Their names"""
    ours: set[str]
    builders: set[str]
    checkers: set[str]
    shared: set[str]


def functions(qemu: str) -> Functions:
    return Functions(symbols.of_sources(qemu, OUR_FILES),
                     symbols.of_sources(qemu, BUILDERS),
                     symbols.of_sources(qemu, CHECKERS), symbols.shared(qemu))


@dataclasses.dataclass
class Count:
    total: int
    tables: int             # all tables, whoever builds them
    our_tables: int         # of that: our functions, with all that they call
    our_checks: int         # of our objects, before the machine runs
    peers_tables: int       # of tables: the peer's function


@dataclasses.dataclass(frozen=True)
class Job:
    variant: Variant
    gpus: int
    switches: int = 0
    run: int = 0

    def name(self) -> str:
        return f'{self.variant.key}-{self.gpus}-{self.switches}-{self.run}'


def evaluate(profile: callgrind.Profile, job: Job, names: Functions) -> Count:
    found = Count(
        profile.total, profile.inclusive(ALL_TABLES),
        profile.entered(names.builders, names.ours, names.shared),
        profile.entered(names.checkers, names.ours, names.shared),
        profile.inclusive(PEERS_TABLES))
    if OURS in job.variant.objects and not (found.our_tables and
                                            found.our_checks):
        raise ValueError(
            f'{job.name()}: our objects cost nothing ({found}): see who calls '
            f'functions of {ACPI}/, and list it in BUILDERS or CHECKERS')
    return found


def count_all(qemu: str, folder: str, jobs: list[Job]) -> dict[Job, Count]:
    """As many at a time as there are processors"""
    names = functions(qemu)
    library = os.path.join(folder, 'no-io-uring.so')
    subprocess.run(['cc', '-shared', '-fPIC', '-o', library, '-x', 'c', '-'],
                   input=NO_IO_URING, text=True, check=True)

    def one(job: Job) -> Count:
        out = os.path.join(folder, f'callgrind.{job.name()}')
        start(['valgrind', '--tool=callgrind', '--separate-threads=yes',
               f'--callgrind-out-file={out}', qemu,
               *arguments(job.variant, job.gpus, job.switches)], f'{out}.log',
              LD_PRELOAD=library)
        return evaluate(callgrind.read(f'{out}-{MAIN_THREAD}'), job, names)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            return dict(zip(jobs, pool.map(one, jobs)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise

# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that is plugged into a node: DIMMs and virtio-mem."""

import dataclasses
import json


@dataclasses.dataclass(frozen=True)
class MemoryDevice:
    driver: str                     # pc-dimm or virtio-mem-pci
    node: int
    mb: int
    while_running: bool = False     # through QMP, not on the command line

    def _object_and_device(self):
        name = f'{self.driver}-{self.node}'
        device = {'driver': self.driver, 'id': name, 'memdev': f'ram-{name}',
                  'node': self.node}
        if self.driver == 'virtio-mem-pci':
            device['requested-size'] = self.mb << 20
        return ({'qom-type': 'memory-backend-ram', 'id': f'ram-{name}',
                 'size': self.mb << 20}, device)

    def command_line(self):
        backend, device = self._object_and_device()
        return ['-object', json.dumps(backend), '-device', json.dumps(device)]

    def qmp_commands(self):
        """Names and arguments."""
        backend, device = self._object_and_device()
        return [('object-add', backend), ('device_add', device)]


def ram_size(boot_mb, devices):
    """The value of -m for a machine with such devices."""
    if not devices:
        return f'{boot_mb}M'
    most = boot_mb + sum(device.mb for device in devices)
    slots = sum(device.driver == 'pc-dimm' for device in devices)
    return f'{boot_mb}M,maxmem={most}M,slots={slots}'

# SPDX-License-Identifier: GPL-2.0-or-later
"""The types of objects, and the properties that they give a GPU's _DSD."""

NVIDIA_TYPE, GENERAL_TYPE = 'nvidia-gpu-mem-acpi', 'dev-mem-pxm-acpi'
_GENERAL_NAMES = ('dev-mem-pxm-start', 'dev-mem-pxm-count')
# The first domain, and how many there are
_NAMES = {
    GENERAL_TYPE: _GENERAL_NAMES,
    NVIDIA_TYPE: (*_GENERAL_NAMES, 'nvidia,gpu-mem-pxm-start',
                  'nvidia,gpu-mem-pxm-count')}

# Of Extended GPU Memory: the domain, its address, its bytes
_EGM_NAMES = ('nvidia,egm-pxm', 'nvidia,egm-base-pa', 'nvidia,egm-size')


def properties(object_type, start, count, egm=()):
    names = _NAMES[object_type]
    return {**dict(zip(names, (start, count) * (len(names) // 2),
                       strict=True)),
            **(dict(zip(_EGM_NAMES, egm, strict=True)) if egm else {})}

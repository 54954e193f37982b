# SPDX-License-Identifier: GPL-2.0-or-later
"""Sphinx' configuration of the guide."""

project = 'nvidia-gpu-mem-acpi'
html_title = 'GPUs with coherent memory'

"""Energy, where the machine has a counter: RAPL's of processors, NVML's of NVIDIA's GPUs.

A counter counts all that its package or board does, other processes' work and idling included: nothing is subtracted.
RAPL's counters (Linux's powercap) are readable for root alone on most machines, NVML's need the package nvidia-ml-py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.measuring import synchronize

POWERCAP = Path("/sys/class/powercap")
# For so many seconds an action is repeated: NVML's counters move about ten times a second.
LONG_ENOUGH = 1.0


@dataclass(frozen=True)
class Counter:
    """What has been used so far, in units of so many `joules`. It begins anew after `limit`, where it has one."""

    read: Callable[[], int]
    joules: float
    limit: int | None = None

    def since(self, before: int) -> float:
        """Joules since it stood at `before`: it may have begun anew once."""
        passed = self.read() - before
        return (passed % self.limit if self.limit else passed) * self.joules


def counters(device: torch.device) -> list[Counter]:
    """Those of the device that computes: of a GPU its own, of a processor those of all packages. Empty where one of
    them is missing, or may not be read."""
    if device.type == "cuda":
        return _of_gpu(device)
    return _of_processor(POWERCAP) if device.type == "cpu" else []


def joules(action: Callable[[], Any], device: torch.device, found: Sequence[Counter]) -> float | None:
    """What one action takes, the mean over as many as fill a second; None without counters."""
    if not found:
        return None
    synchronize(device)
    before, began, count = [counter.read() for counter in found], time.perf_counter(), 0
    while not count or time.perf_counter() - began < LONG_ENOUGH:
        action()
        synchronize(device)
        count += 1
    return sum(counter.since(start) for counter, start in zip(found, before, strict=True)) / count


def _of_processor(powercap: Path) -> list[Counter]:
    found = []
    try:
        # Zones within a package have two colons; a zone of the whole platform ("psys") has the packages in it.
        for zone in sorted(powercap.glob("intel-rapl:*")):
            if zone.name.count(":") == 1 and (zone / "name").read_text().startswith("package"):
                energy = zone / "energy_uj"
                _number(energy)
                limit = _number(zone / "max_energy_range_uj")
                found.append(Counter(partial(_number, energy), 1e-6, limit))
    except (OSError, ValueError):
        return []
    return found


def _number(path: Path) -> int:
    return int(path.read_text())


def _of_gpu(device: torch.device) -> list[Counter]:
    try:
        import pynvml

        pynvml.nvmlInit()
        # Under its own name: CUDA may count only some of the GPUs.
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except (ImportError, OSError, AttributeError):
        return []
    except pynvml.NVMLError:
        return []
    return [Counter(lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)), 1e-3)]

"""Energy counters, against folders and a driver that are made up: joules follow from what they say by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench import energy

CPU = torch.device("cpu")
RANGE = 262_143_328_850


def zone(powercap: Path, name: str, what: str, used: int) -> Path:
    folder = powercap / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{what}\n")
    (folder / "energy_uj").write_text(f"{used}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
    return folder


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    return tmp_path


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(energy, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def test_joules_of_a_step_are_those_of_all_packages_while_steps_fill_a_second(powercap, clock):
    """Steps of 0.3 s: four of them pass a second. Two packages at 1 J and 0.5 J a step; the first counter begins anew
    on the way, 1.5 J after the start. What is within a package, and what has packages in it, is not counted twice."""
    first = zone(powercap, "intel-rapl:0", "package-0", RANGE - 1_500_000)
    second = zone(powercap, "intel-rapl:1", "package-1", 7)
    for inner, what in (("intel-rapl:0:0", "dram"), ("intel-rapl:2", "psys")):
        zone(powercap, inner, what, 0)
    steps = 0

    def add(folder: Path, joules: float) -> None:
        path = folder / "energy_uj"
        path.write_text(str((int(path.read_text()) + round(1e6 * joules)) % RANGE))

    def step():
        nonlocal steps
        steps += 1
        clock.now += 0.3
        for folder, joules in ((first, 1.0), (second, 0.5)):
            add(folder, joules)
        for other in ("intel-rapl:0:0", "intel-rapl:2"):
            add(powercap / other, 100.0)

    assert energy.joules(step, CPU, energy.counters(CPU)) == pytest.approx(1.5)
    assert steps == 4


def test_a_step_of_more_than_a_second_is_made_once(powercap, clock):
    path = zone(powercap, "intel-rapl:0", "package-0", 0) / "energy_uj"

    def step():
        clock.now += 20
        path.write_text(str(int(path.read_text()) + 600_000_000))

    assert energy.joules(step, CPU, energy.counters(CPU)) == pytest.approx(600)


def test_without_a_counter_nothing_is_done_and_nothing_told(powercap):
    steps = []
    assert energy.counters(CPU) == []
    assert energy.joules(lambda: steps.append(1), CPU, energy.counters(CPU)) is None and not steps


@pytest.mark.parametrize("spoilt", [{"energy_uj": ""}, {"max_energy_range_uj": "many"}, {"energy_uj": None}])
def test_half_a_machine_is_not_told_for_the_whole(powercap, spoilt):
    """Of two packages the second's counter says nothing."""
    zone(powercap, "intel-rapl:0", "package-0", 0)
    second = zone(powercap, "intel-rapl:1", "package-1", 0)
    for name, text in spoilt.items():
        (second / name).unlink()
        if text is not None:
            (second / name).write_text(text)
    assert energy.counters(CPU) == []


def test_a_gpu_is_found_by_its_own_name_and_counts_in_millijoules(monkeypatch, clock):
    """Of a made-up driver: CUDA's first GPU need not be the driver's."""
    used = {"GPU-b": 1_000}
    driver = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: used[handle],
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="b"))
    monkeypatch.setattr(energy, "synchronize", lambda _: None)

    def step():
        clock.now += 0.5
        used["GPU-b"] += 175_000

    cuda = torch.device("cuda")
    assert energy.joules(step, cuda, energy.counters(cuda)) == pytest.approx(175)

    def refuses(_):
        raise RuntimeError("Not Supported")

    driver.nvmlDeviceGetTotalEnergyConsumption = refuses
    assert energy.counters(cuda) == []

"""Slots of this machine: GPUs by index, alone, shared or several to a cell; else shares of the cores."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import pytest

from bench import environment, places
from bench.folders import UsageError
from bench.sizes import bytes_of
from bench.suite import Suite
from bench.suite_file import SuiteFile
from records.cards import Cards
from records.record import Cost, Manifest
from records.store import RecordStore
from tests.bench.test_records import cell, record

GIB = 2**30


def file(**keys) -> SuiteFile:
    return SuiteFile(backbones=["b"], tasks=["t"], methods=["full"], seeds=[0], **keys)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Slots on a machine with GPUs of so many GiB, as 'index: slot's visible GPUs', and the threads."""

    def slots(*memory: float, count: int | None = None, cores: int = 16, cells=None, **keys):
        gpus = [SimpleNamespace(name=str(i), memory=int(size * GIB)) for i, size in enumerate(memory)]
        monkeypatch.setattr(places, "visible_gpus", lambda: gpus)
        monkeypatch.setattr(environment, "cores", lambda: cores)
        monkeypatch.setattr(environment, "memory_bytes", lambda: 64 * GIB)
        suite = SimpleNamespace(cells={each.id: each for each in cells or [cell()]})
        found = places.slots(file(**keys), suite, RecordStore(tmp_path), count)
        assert [slot.index for slot in found] == list(range(len(found)))
        return [slot.environ.get("CUDA_VISIBLE_DEVICES") for slot in found], {slot.threads for slot in found}

    return slots


def test_without_a_gpu_cells_share_the_cores(machine):
    assert machine(cores=4) == ([None] * 4, {1})
    assert machine(cores=4, count=2) == ([None] * 2, {2})
    # A cell of two processes takes the place, and the cores, of two.
    assert machine(cores=4, processes=2) == ([None] * 2, {2})
    assert machine(cores=1, processes=2) == ([None], {1})


def test_a_gpu_is_one_cells_unless_it_may_be_shared(machine):
    assert machine(80, 80) == (["0", "1"], {8})
    assert machine(80, 80, count=1) == (["0"], {16})
    # On the first GPU again only when none is free.
    assert machine(80, 80, share=2) == (["0", "1", "0", "1"], {4})
    assert machine(80, 80, share=2, count=3)[0] == ["0", "1", "0"]


def test_no_more_cells_share_a_gpu_than_fit_into_its_memory(machine):
    """Each takes what is declared and half a GiB for CUDA itself."""
    assert machine(80, gpu_memory="20 GB")[0] == ["0"] * 3
    assert machine(82, gpu_memory="20 GB")[0] == ["0"] * 4
    assert machine(82, gpu_memory="20 GB", share=2)[0] == ["0"] * 2
    # A smaller card takes fewer.
    assert machine(80, 24, gpu_memory="20 GB")[0] == ["0", "1", "0", "0"]
    with pytest.raises(UsageError, match=r"a cell takes 80\.5 GiB .* GPU 0 has 80\.0 GiB"):
        machine(80, gpu_memory="80 GB", share=1)


def test_what_cells_take_is_known_from_their_profiles(machine, tmp_path):
    cells = [cell(label=label, hyperparameters={"of": label}) for label in ("small", "large")]
    store = RecordStore(tmp_path)
    named = {each.id: each for each in cells}
    store.write_manifest(Manifest(suite={}, cells=named, cards=Cards(), environment={}, created="now"))
    store.write(record(cells[0], test={"a": 1}, cost=Cost(protocol={}, peak_memory_bytes=2 * GIB)))
    assert machine(80, gpu_memory="auto", cells=cells)[0] == ["0"]  # of one nothing is known
    store.write(record(cells[1], test={"a": 1}, cost=Cost(protocol={}, peak_memory_bytes=10 * GIB)))
    # 10 GiB, and a quarter more than in the profile, and CUDA's own: 13 GiB.
    assert len(machine(80, gpu_memory="auto", cells=cells)[0]) == 80 // 13


def test_a_cell_of_several_processes_has_as_many_gpus(machine):
    assert machine(80, 80, 80, 80, processes=2) == (["0,1", "2,3"], {8})
    assert machine(80, 80, 80, processes=2)[0] == ["0,1"]
    assert machine(80, 24, 80, 80, processes=2, gpu_memory="20 GB", share=2)[0] == ["0,1", "2,3", "2,3"]
    with pytest.raises(UsageError, match="processes: 4 takes as many GPUs, and there are 2"):
        machine(80, 80, processes=4)


def test_visible_gpus_are_those_that_the_environment_names(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [gpu.name for gpu in places.visible_gpus()] == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    assert [gpu.name for gpu in places.visible_gpus()] == ["3", "GPU-5"]


def test_what_is_given_comes_before_what_the_suite_says():
    given = argparse.Namespace(share=3, gpu_memory=None, processes=None, shard=None)
    found = places.with_options(file(share=2, gpu_memory="4 GB", processes=2), given)
    assert (found.share, found.gpu_memory, found.processes) == (3, "4 GB", 2)


def test_weights_are_divided_among_two_processes_or_more():
    given = argparse.Namespace(share=None, gpu_memory=None, processes=2, shard=True)
    assert not file().shard
    assert places.with_options(file(), given).shard
    assert places.with_options(file(shard=True), argparse.Namespace(**vars(given) | {"shard": None})).shard
    given.processes = None
    with pytest.raises(UsageError, match=r"shard: .* there is one: ask for more of them"):
        places.with_options(file(), given)


@pytest.mark.parametrize("text", ["8", "GB", "0 GB", "8 lb", "-1 GB", "1.5 GB"])
def test_a_size_that_is_none_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="takes a size such as '16 GB'"):
        bytes_of(text)
    with pytest.raises(ValueError, match="takes a size such as '16 GB'"):
        file(gpu_memory=text)


def test_sizes_are_read_as_slurm_reads_them():
    assert bytes_of("16 GB") == bytes_of("16g") == bytes_of("16GiB") == 16 * GIB
    assert bytes_of("800 MB") == 800 * 2**20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--launcher", "slurm", "--share", "2"], "--share is for this machine alone"),
        (["--launcher", "slurm", "--gpu-memory", "4 GB"], "--gpu-memory is for this machine alone"),
        (["--launcher", "slurm", "--gpus", "1", "--processes", "2"], "takes as many GPUs: --gpus 2"),
        (["--gpu-memory", "much"], "takes a size such as '16 GB'"),
        (["--shard"], "shard: a cell's processes divide the weights, and there is one"),
        (["--processes", "0"], "takes a whole number from 1"),
    ],
)
def test_what_does_not_go_together_is_one_line(bench, write_suite, arguments, said):
    refused = bench("run", write_suite(), *arguments)
    assert refused.returncode in (1, 2)
    assert said in refused.stderr


def test_a_suite_says_so_as_well_and_none_of_it_is_identity(bench, write_suite):
    plain = Suite.load(str(write_suite()))
    other = Suite.load(str(write_suite("other", processes=2, shard=True, share=3, gpu_memory="8 GB")))
    assert (other.file.processes, other.file.share, other.file.gpu_memory) == (2, 3, "8 GB")
    assert other.file.shard
    assert list(other.cells) == list(plain.cells)
    refused = bench("run", write_suite("odd", share=0, gpu_memory="much"))
    assert "odd.yaml:" in refused.stderr and "share" in refused.stderr and "takes a size" in refused.stderr

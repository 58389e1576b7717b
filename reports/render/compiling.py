"""LaTeX runs, where latexmk is: without shell escape, reading and writing nothing outside of the folder, and ended
with all that they started; what their logs say; and how many pages the main part has."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMPILE_SECONDS = 180
# Of any one file that LaTeX writes: a document in a loop would fill the disk.
LARGEST_FILE = 1 << 30
# Of the 6 to 8 pages that a report may have, one is left for the student's own words.
MOST_PAGES = 7
END = "end-of-main"
# Stop at the first error, and ask nothing.
_CAREFUL = ("-interaction=nonstopmode", "-halt-on-error")


@dataclass(frozen=True)
class Compiled:
    """`pdf` is None where LaTeX did not run to its end; `said` is a line for the user. `pages` are those of the main
    part, up to the references."""

    pdf: Path | None
    said: str
    pages: int | None = None


def compile_pdf(folder: Path, name: str) -> Compiled:
    """`<name>.tex` to `<name>.pdf`."""
    latexmk = shutil.which("latexmk")
    if latexmk is None:
        said = f"to compile, run `latexmk -pdf {name}.tex` in {folder}"
        return Compiled(None, f"LaTeX sources are ready; latexmk is not installed: {said}")
    program = "-pdflatex=pdflatex -no-shell-escape %O %S"
    command = [latexmk, "-norc", "-pdf", program, *_CAREFUL, "-outdir=build", f"{name}.tex"]
    log = folder / "build" / f"{name}.log"
    done = _run(command, folder)
    if done is None:
        return Compiled(None, f"LaTeX did not finish within {COMPILE_SECONDS} s; see {log}")
    made = folder / "build" / f"{name}.pdf"
    if done != 0 or not made.exists():
        return Compiled(None, f"LaTeX stopped: {_first_error(log)} (see {log})")
    shutil.copyfile(made, folder / f"{name}.pdf")
    return Compiled(folder / f"{name}.pdf", f"wrote {folder / f'{name}.pdf'}", main_pages(folder, name))


def fit(folder: Path, name: str, most: int, write: Callable[[int], None]) -> Compiled:
    """Compiles with as much of what is spare in the main part as MOST_PAGES hold. `write(kept)` writes the source with
    the first `kept` of `most` spare parts."""
    write(most)
    compiled = compile_pdf(folder, name)
    if compiled.pages is None or compiled.pages <= MOST_PAGES:
        return compiled
    low, high = 0, most - 1
    while low < high:
        middle = (low + high + 1) // 2
        write(middle)
        low, high = (middle, high) if (_draft(folder, name) or 0) <= MOST_PAGES else (low, middle - 1)
    for kept in range(low, max(-1, low - 4), -1):  # floats may have been placed otherwise in the draft
        write(kept)
        compiled = compile_pdf(folder, name)
        if compiled.pages is None or compiled.pages <= MOST_PAGES:
            break
    return compiled


def main_pages(folder: Path, name: str) -> int | None:
    """The page on which the main part ends: that of its last words, or of a float that comes later."""
    source, auxiliary = folder / f"{name}.tex", folder / "build" / f"{name}.aux"
    if not auxiliary.exists():
        return None
    main = source.read_text(encoding="utf-8").partition(f"\\label{{{END}}}")[0]
    labels = {END, *re.findall(r"\\label\{(fig:[^}]*)\}", main)}
    labels |= {f"tab:{key}" for key in re.findall(r"\\input\{tables/([^}]*)\}", main)}
    # A long table goes on in further floats, which are numbered: tab:claims-part-2.
    part = re.compile(r"-part-\d+$")
    pages = re.findall(r"\\newlabel\{([^}]*)\}\{\{[^}]*\}\{(\d+)\}", auxiliary.read_text(errors="replace"))
    return max((int(page) for label, page in pages if part.sub("", label) in labels), default=None)


def complaints(log: str, most: float = 5.0) -> list[str]:
    """What a log has to say against a document: overfull boxes of more than `most` points, undefined references and
    citations, values that no macro holds, tables that were shrunk beyond reading."""
    found = [
        line for line, points in re.findall(r"(Overfull \\[hv]box \(([\d.]+)pt[^\n]*)", log) if float(points) > most
    ]
    found += re.findall(r"LaTeX Warning: [^\n]*(?:undefined|multiply defined|no value)[^\n]*", log)
    found += re.findall(r"Package natbib Warning: [^\n]*undefined[^\n]*", log)
    for key, scale in re.findall(r"^bench: table (\S+) scaled ([\d.]+)", log, re.MULTILINE):
        if float(scale) < 0.7:
            found.append(f"table {key} is shrunk to {float(scale):.0%}")
    return found


def _draft(folder: Path, name: str) -> int | None:
    """Pages of the main part after a single run over what the last one left."""
    command = ["pdflatex", "-no-shell-escape", *_CAREFUL, "-draftmode", "-output-directory=build", f"{name}.tex"]
    return main_pages(folder, name) if _run(command, folder) == 0 else None


def _run(command: list[str], folder: Path) -> int | None:
    """The exit status; None where it took too long. Whatever ends the wait, what was started is ended too."""
    # Nothing in the sources may start a program, or read and write outside of the folder.
    safe = os.environ | {"openin_any": "p", "openout_any": "p", "max_print_line": "10000"}
    nothing = subprocess.DEVNULL
    with _plainly_named(folder) as place, _raising_on_signals():
        running = subprocess.Popen(
            command,
            cwd=place,
            env=safe | {"PWD": str(place)},
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            start_new_session=True,
            preexec_fn=_limit,
        )
        try:
            return running.wait(COMPILE_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def _limit() -> None:
    """For the case that we are killed, and can end nothing."""
    for what, most in ((resource.RLIMIT_CPU, COMPILE_SECONDS), (resource.RLIMIT_FSIZE, LARGEST_FILE)):
        hard = resource.getrlimit(what)[1]
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


@contextmanager
def _plainly_named(folder: Path) -> Iterator[Path]:
    """A folder that stands for `folder`, with links to what is in it, and a copy of its `build`: TeX takes `:`, `;`,
    `,`, `{`, `~`, `$` and spaces in the path of the folder that it runs in for something else."""
    build = folder / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-latex-") as named:
        place = Path(named)
        shutil.copytree(build, place / "build")
        for one in folder.resolve().iterdir():
            if one.name != "build":
                (place / one.name).symlink_to(one)
        try:
            yield place
        finally:
            shutil.copytree(place / "build", build, dirs_exist_ok=True)


@contextmanager
def _raising_on_signals() -> Iterator[None]:
    """Turns the signals that would end us without a word into an exit that cleans up, as Ctrl-C is one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_error(log: Path) -> str:
    if log.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for i, line in enumerate(lines):
            if line.startswith("! "):
                where = next((after for after in lines[i : i + 12] if after.startswith("l.")), "")
                return f"{line[2:]} {where}".strip()
    return "no error was logged"

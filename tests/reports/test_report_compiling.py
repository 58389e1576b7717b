"""LaTeX that does not end is ended, with every process that it started, whatever ends the wait for it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from reports.render import compiling

pytestmark = pytest.mark.skipif(shutil.which("latexmk") is None, reason="latexmk is not installed")

ROOT = Path(__file__).resolve().parents[2]
ENDLESS = r"\documentclass{article}\begin{document}\loop\iftrue\repeat\end{document}"


def running(name: str) -> list[psutil.Process]:
    """Processes that have the document's name among their arguments."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if (
            any(name in part for part in process.info["cmdline"] or ())
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ):
            found.append(process)
    return [process for process in found if process.pid != os.getpid()]


def gone(name: str) -> bool:
    """Within some seconds: the kernel may take a moment to end what was killed."""
    for _ in range(100):
        if not running(name):
            return True
        time.sleep(0.1)
    return False


def test_a_document_without_end_is_ended_with_its_pdflatex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    name = f"endless-{os.getpid()}"
    (tmp_path / f"{name}.tex").write_text(ENDLESS)
    monkeypatch.setattr(compiling, "COMPILE_SECONDS", 3)
    compiled = compiling.compile_pdf(tmp_path, name)
    assert compiled.pdf is None
    assert "did not finish within 3 s" in compiled.said
    assert gone(name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_running(tmp_path: Path, number: int):
    name = f"endless-{os.getpid()}-{number}"
    (tmp_path / f"{name}.tex").write_text(ENDLESS)
    code = f"from pathlib import Path; from reports.render import compiling; compiling.compile_pdf(Path('.'), {name!r})"
    waiting = subprocess.Popen(
        [sys.executable, "-c", f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {code}"],
        cwd=tmp_path, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        for _ in range(600):
            if any("pdf" in process.name() for process in running(name)):
                break
            time.sleep(0.1)
        assert any("pdf" in process.name() for process in running(name))
        waiting.send_signal(number)
        assert waiting.wait(30) != 0
        assert gone(name)
    finally:
        waiting.kill()

"""What the command says arrives in any encoding, and a reader that goes away is no error."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from bench.durations import seconds_of
from tests.conftest import ROOT

SAYS = "from bench import terminal; terminal.prepare(); print('a · b … \u00d7 größe 中 \\ud83d')"


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("ascii", r"a - b ... x gr\xf6\xdfe \u4e2d \ud83d"),
        ("latin-1", r"a · b ... × größe \u4e2d \ud83d"),
        ("utf-8", r"a · b … × größe 中 \ud83d"),
    ],
)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_every_encoding_takes_what_is_said(encoding, said, stream):
    says = SAYS if stream == "stdout" else SAYS.replace("')", "', file=__import__('sys').stderr)")
    environ = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    ended = subprocess.run([sys.executable, "-c", says], env=environ, capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert getattr(ended, stream).decode(encoding).strip() == said


@pytest.mark.parametrize("closed", ["<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_descriptor_is_not_the_next_files(closed, tmp_path):
    script = (
        "from bench import terminal; terminal.prepare()\n"
        "import os; file = open('data', 'w'); print('noise'); os.write(1, b'noise'); os.write(2, b'noise')\n"
        "file.write('data'); file.close()"
    )
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(script)} {closed}"
    subprocess.run(command, shell=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60)
    assert (tmp_path / "data").read_text() == "data"


def test_a_list_is_read_as_far_as_its_reader_likes():
    command = f"{shlex.quote(sys.executable)} -m bench list | head -c 1"
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, shell=True, env=environ, capture_output=True, text=True, timeout=120)
    assert (ended.stdout, ended.stderr) == ("m", "")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30 s", 30), ("90 min", 5400), ("2h", 7200), ("1.5 d", 129600), ("none", None), ("0", None)]
)
def test_lengths_of_time_are_read_as_people_write_them(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["90", "-1 h", "0 s", "2 hours ago", "", "1:30", "nan h", "inf h", "9" * 400 + " d"])
def test_what_is_no_length_of_time_says_how_one_is_written(text):
    with pytest.raises(ValueError, match="'90 min'"):
        seconds_of(text)

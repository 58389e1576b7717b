"""A Slurm cluster of a few shell scripts and a table of jobs, of which a test says how they stand. Nothing runs."""

from __future__ import annotations

from pathlib import Path

from bench.launchers.journal import Journal, Submission
from bench.launchers.node import Word
from records import files

SBATCH = """
test -e {folder}/refused && {{ cat {folder}/refused >&2; exit 1; }}
name=$(sed -n "s/^#SBATCH --job-name=//p" "$1")
last=$(sed -n "s/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p" "$1")
job=$(cat {folder}/count 2>/dev/null || echo 10)
echo $((job + 1)) > {folder}/count
cp "$1" {folder}/$job.sh
if [ -n "$last" ]
then for index in $(seq 0 $last); do echo "${{job}}_$index|$name|PENDING|Priority" >> {folder}/jobs; done
else echo "$job|$name|PENDING|Priority" >> {folder}/jobs
fi
test -e {folder}/mute && {{ echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1; }}
echo "Submitted batch job $job"
"""
SQUEUE = """
test -e {folder}/down && {{ echo "squeue: error: Unable to contact slurm controller" >&2; exit 1; }}
cat {folder}/jobs 2>/dev/null
exit 0
"""
SACCT = """
test -e {folder}/account || {{ echo "Slurm accounting storage is disabled" >&2; exit 1; }}
cat {folder}/account
"""
PROGRAMS = {
    "sbatch": SBATCH,
    "squeue": SQUEUE,
    "sacct": SACCT,
    "scancel": 'echo "$@" >> {folder}/cancelled',
    "scontrol": "echo MaxArraySize = 4",
    "srun": "exit 1",
}


class FakeSlurm:
    """Its programs are in `bin`; `results` is the folder of which jobs are submitted."""

    def __init__(self, folder: Path, results: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.results = results
        self.bin.mkdir(parents=True)
        for name, text in PROGRAMS.items():
            (self.bin / name).write_text("#!/bin/sh" + (text if text[0] == "\n" else f"\n{text}").format(folder=folder))
            (self.bin / name).chmod(0o755)

    def jobs(self) -> list[list[str]]:
        """Id, name, state and reason of each job in the queue."""
        path = self.folder / "jobs"
        return [line.split("|") for line in path.read_text().splitlines()] if path.exists() else []

    def turn(self, state: str, job: str | None = None, why: str = "None") -> None:
        """Has a job, or all, in a state from now on."""
        rows = [[j, n, state, why] if job in (None, j) else [j, n, s, w] for j, n, s, w in self.jobs()]
        (self.folder / "jobs").write_text("".join("|".join(row) + "\n" for row in rows))

    def forget(self) -> None:
        """Has the queue empty."""
        (self.folder / "jobs").write_text("")

    def flag(self, name: str, text: str = "") -> Path:
        """Has `sbatch` be `mute` or find itself `refused`, the controller `down`, or an `account` kept."""
        path = self.folder / name
        path.write_text(text)
        return path

    def scripts(self) -> list[str]:
        """What was submitted."""
        return [path.read_text() for path in sorted(self.folder.glob("*.sh"))]

    def submissions(self) -> list[Submission]:
        """As the journal has them."""
        return list(Journal(self.results).submissions().values())

    def say(self, submission: Submission, index: int, word: Word) -> None:
        """Leaves word of a job, as its node would."""
        path = self.results / "slurm" / submission.key / f"{index}.json"
        files.write_atomically(path, word.model_dump_json())

"""What a job asks of a Slurm cluster: the key `slurm` of a suite, and flags of `bench run`."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bench.durations import seconds_of
from bench.sizes import parted

# Added to a cell's time limit where no time is asked for: to start Python, and to load the backbone.
MINUTES_TO_START = 15


class SlurmOptions(BaseModel):
    """None of it is part of a cell's identity, or changes a result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: str | None = Field(None, description="the partition, or several with commas; the cluster's default")
    account: str | None = Field(None, description="the account that is charged")
    qos: str | None = Field(None, description="the quality of service")
    gpus: int | None = Field(None, ge=0, description="GPUs of a job; none are asked for by default")
    cpus: int = Field(1, ge=1, description="processor cores of a job, which are its threads")
    memory: str | None = Field(None, description="main memory of a job, such as '16 GB'")
    time: str | None = Field(None, description="how long a job may take; the cell's time limit and 15 min by default")
    concurrency: int | None = Field(None, ge=1, description="how many jobs of one array run at a time")
    python: str | None = Field(None, description="the Python of the jobs, which has torch; the one that submits them")
    setup: list[str] = Field([], description="lines of shell before Python starts, such as 'module load cuda'")
    extra: dict[str, str | int] = Field({}, description="more options of sbatch, such as `constraint: a100`")

    @field_validator("memory")
    @classmethod
    def _size(cls, value: str | None) -> str | None:
        if value is None:
            return None
        number, unit = parted(value)
        return f"{number}{unit}"

    @field_validator("time")
    @classmethod
    def _length_of_time(cls, value: str | None) -> str | None:
        if value is not None and seconds_of(value) is None:
            raise ValueError("takes a length of time such as '4 h': a cluster has no jobs without end")
        return value

    @field_validator("extra")
    @classmethod
    def _options(cls, value: dict[str, str | int]) -> dict[str, str | int]:
        if ours := sorted({"job-name", "array", "output", "error", "requeue", "job_name"} & value.keys()):
            raise ValueError(f"{ours[0]!r} is set by the launcher")
        return value

    def minutes(self, limit: float | None) -> int:
        """How long a job may take whose cell may take `limit` seconds. Raises ValueError where nothing says."""
        if self.time is not None:
            seconds = seconds_of(self.time)
            assert seconds is not None
            return math.ceil(seconds / 60)
        if limit is None:
            raise ValueError("a job on a cluster needs an end: give --time, `slurm: {time: …}` or a time limit")
        return math.ceil(limit / 60) + MINUTES_TO_START

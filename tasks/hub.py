"""Tasks whose data comes from the Hugging Face hub, pinned to a commit; and what its errors mean, in one line."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from typing_extensions import override

from records.text import one_line
from tasks.base import Task, TaskOptions, TaskUnavailable
from tasks.splits import carve

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

Row = Mapping[str, Any]

# Where the hub keeps every public data set as Parquet, also such whose main branch holds a script, which is never run.
CONVERTED = "refs/convert/parquet"

SEE_PAGE = "see the dataset's page"


@dataclass(frozen=True)
class Source:
    """Where on the hub a task's data is. `revision` is a commit's sha; where none could be verified it is a branch,
    which `Task.load` resolves, and `HubTask.commits` then tells. The splits go by the hub's names; without one for
    validation, validation is carved from train."""

    repo: str
    revision: str
    config: str | None = None
    train: str = "train"
    validation: str | None = None
    test: str = "test"


class HubTask(Task):
    """A task from the hub. A subclass gives `source`, and `example`: the canonical columns of one of its rows.

    `group` is the canonical column whose rows must not be divided between train and validation, as a passage's
    questions must not. A cell's identity holds the data's revision.
    """

    source: ClassVar[Source]
    group: ClassVar[str | None] = None
    version: ClassVar[int] = 1
    # What rows are that `keep` leaves out.
    unkept: ClassVar[str] = "not of the task"

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if hasattr(cls, "source"):
            commits = (source.revision[:12] for source in cls.sources())
            cls.revision = "+".join([str(cls.version), *commits])

    def __init__(self, options: TaskOptions | None = None) -> None:
        super().__init__(options)
        self._left_out: dict[tuple[Source, str], int] = {}

    def keep(self, row: Row) -> bool:
        """Whether a row of the hub's belongs to the task."""
        return True

    @abstractmethod
    def example(self, row: Row) -> dict[str, Any]:
        """A row of the hub's in canonical columns."""

    @override
    def load(self) -> DatasetDict:
        from datasets import DatasetDict

        source = self.source
        train = self.split(source, source.train)
        if source.validation:
            validation = self.split(source, source.validation)
        else:
            train, validation = carve(train, self.group)
        return DatasetDict(train=train, validation=validation, test=self.split(source, source.test))

    def split(self, source: Source, name: str) -> Dataset:
        """One of the hub's splits as examples."""
        raw = self.rows(source, name)
        # In memory and not from a cache: its key would not see a change of `example`.
        options: dict[str, Any] = {
            "keep_in_memory": True,
            "load_from_cache_file": False,
            "desc": f"{self.name}: {name}",
        }
        if type(self).keep is not HubTask.keep:
            before = len(raw)
            raw = raw.filter(self.keep, **options)
            self._left_out[source, name] = before - len(raw)
        return raw.map(self.example, remove_columns=raw.column_names, **options)

    def rows(self, source: Source, split: str) -> Dataset:
        """The rows of which `example` makes examples: the hub's own, unless they are to be joined first."""
        return fetch(source, split)

    @override
    def commits(self) -> dict[str, str]:
        return {source.repo: commit(source) for source in self.sources()}

    @override
    def dropped(self) -> dict[str, int]:
        count = sum(self._left_out.values())
        return {self.unkept: count} if count else {}

    @classmethod
    def sources(cls) -> tuple[Source, ...]:
        """All that `load` reads."""
        return (cls.source,)


def fetch(source: Source, split: str) -> Dataset:
    """One split of a data set as it is on the hub, or in its cache. Raises TaskUnavailable."""
    from datasets import load_dataset

    try:
        return load_dataset(source.repo, source.config, split=split, revision=commit(source))
    except TaskUnavailable:
        raise
    except Exception as error:
        raise TaskUnavailable(explain(error, source.repo, source.revision, "data set")) from error


def commit(source: Source) -> str:
    """The commit that a source stands for; a branch is looked up, without the hub among what was looked up before.
    That of a pinned one is asked for as well: what datasets says of a repository that it cannot have is less clear.
    Raises TaskUnavailable."""
    try:
        return snapshot(source.repo, source.revision, "dataset", ["README.md"]).name
    except Exception as error:
        raise TaskUnavailable(explain(error, source.repo, source.revision, "data set")) from error


def snapshot(repo: str, revision: str, kind: Literal["model", "dataset"], patterns: list[str]) -> Path:
    """The folder with those files of a repository, named for its commit; from the cache where the hub is not to be
    reached. Interrupted downloads are taken up again. Raises what huggingface_hub raises."""
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        repo, revision=revision, repo_type=kind, allow_patterns=patterns, ignore_patterns=["*/*"]
    )
    return Path(folder)


def licence(folder: Path) -> str | None:
    """What the metadata of a repository's README say; None where they say nothing."""
    from huggingface_hub import metadata_load

    if not (folder / "README.md").is_file():
        return None
    try:
        said = (metadata_load(folder / "README.md") or {}).get("license")
    except ValueError:
        return None
    return said if isinstance(said, str) else None


# What to do without the hub.
OFFLINE = "without a network, run a suite that needs none: bench run embedded"


def explain(error: BaseException, repo: str, revision: str, noun: Literal["data set", "model"]) -> str:
    """What went wrong on the way to a repository of the hub, and what to do, in one line."""
    from huggingface_hub import constants, errors

    page = f"https://huggingface.co/{'datasets/' if noun == 'data set' else ''}{repo}"
    chain = list(_chain(error))
    statuses = {getattr(getattr(link, "response", None), "status_code", None) for link in chain}

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(link, kinds) for link in chain)

    if has(errors.GatedRepoError):
        token = "the token in HF_TOKEN has not been granted it" if _token() else "there is no token in HF_TOKEN"
        return (
            f"access to the {noun} {repo} is restricted, and {token}; accept its terms at {page} and set HF_TOKEN to a"
            " token of that account"
        )
    if has(errors.RevisionNotFoundError):
        return f"the {noun} {repo} has no revision {revision!r}; {page}/commits/main lists them"
    if has(errors.RepositoryNotFoundError, errors.HFValidationError) or statuses & {401, 403}:
        return (
            f"the hub has no {noun} {repo}, or it is private; check the name, or set HF_TOKEN to a token of an account"
            " that may read it"
        )
    if constants.HF_HUB_OFFLINE:
        return (
            f"the {noun} {repo} ({revision}) is not in the cache at {constants.HF_HOME}, and HF_HUB_OFFLINE forbids to"
            f" fetch it; unset it once with a network, or {OFFLINE.partition(', ')[2]}"
        )
    if has(errors.LocalEntryNotFoundError, ConnectionError, TimeoutError) or any(_of_transport(link) for link in chain):
        return (
            f"the {noun} {repo} ({revision}) could not be fetched whole from {constants.ENDPOINT} ({_cause(chain)}) and"
            f" is not in the cache at {constants.HF_HOME}; run it again, a download goes on where it broke off"
            f" (HF_HUB_DOWNLOAD_TIMEOUT=60 for a slow line); {OFFLINE}"
        )
    return f"the {noun} {repo} ({revision}) cannot be read: {_cause(chain)}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _of_transport(error: BaseException) -> bool:
    """Whether it comes from the library that speaks HTTP, which huggingface_hub has changed more than once."""
    return type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")


def _cause(chain: list[BaseException]) -> str:
    """The innermost error that says something."""
    said = [link for link in chain if str(link).strip()] or chain[:1]
    return f"{type(said[-1]).__name__}: {one_line(said[-1], 200)}"


def _token() -> str | None:
    return os.environ.get("HF_TOKEN")

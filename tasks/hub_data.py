"""A data set of the Hugging Face hub as a task, by the names of its columns: `hub:organisation/name`.

After the name may stand a config, and after an @ a commit, a tag or a branch: `hub:nyu-mll/glue/rte@main`. It is
resolved to a commit where the suite is read, which is part of a cell's identity. Columns become a task as those of a
user's own files do (tasks/mapped.py). Code that a data set brings along is never run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from records.text import listing, one_line
from tasks.base import TaskOptions, TaskUnavailable
from tasks.hub import CONVERTED, SEE_PAGE, Source, commit, explain, licence, snapshot
from tasks.mapped import ColumnOptions, MappedTask
from tasks.splits import SHARES
from tasks.table import Table, positions, within

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

EXAMPLE = "<organisation>/<name>"
# Part of a cell's identity: raise it whenever the same data set gives other examples.
READING = 1
NAME = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(/(?P<config>[^@]+))?(@(?P<revision>[\w./-]+))?")
# What a split of a hidden test set has for a label, where labels are numbers of classes.
HIDDEN = -1


class HubOptions(ColumnOptions):
    """The columns and splits by the data set's names for them."""

    labels: tuple[str, ...] = Field((), description="names of the labels 0, 1, …, where the data set has none for them")
    train: str = Field("train", description="the split to train on")
    validation: str | None = Field(
        None, description="the split to validate on; by default `validation`, else a tenth of train by a hash"
    )
    test: str | None = Field(
        None, description="the split to test on; by default `test`; where it has one split alone, that is divided"
    )


class HubDataTask(MappedTask):
    """Raises TaskUnavailable where the data cannot be had."""

    Options: ClassVar[type[TaskOptions]] = HubOptions
    description: ClassVar[str]
    source: ClassVar[Source]

    @property
    @override
    def place(self) -> str:
        return f"hub:{self.description}"

    @override
    def read_tables(self, names: Sequence[str]) -> dict[str, Table]:
        assert isinstance(self.options, HubOptions)
        loaded = _load(self.source, self.place)
        splits = self._splits(tuple(map(str, loaded)), self.options)
        return {split: self._table(loaded[name], name, names, self.options) for split, name in splits.items()}

    def _splits(self, there: Sequence[str], options: HubOptions) -> dict[str, str]:
        """Which of the data set's is which of ours."""
        asked = {"train": options.train, "validation": options.validation, "test": options.test}
        for ours, name in asked.items():
            if name is not None and name not in there:
                raise ValueError(
                    f"{self.place}: has no split {name!r} to be {ours}; there are {', '.join(there)}; write"
                    f" {{{ours}: {there[0]}}}"
                )
        found = {ours: name or (ours if ours in there else None) for ours, name in asked.items()}
        if found["test"] is None and (found["validation"] is not None or len(there) > 1):
            raise ValueError(
                f"{self.place}: has no split 'test'; there are {', '.join(there)}; name one of them, as in"
                f" {{test: {there[-1]}}}"
            )
        if options.validation is None and found["validation"] in (found["test"], found["train"]):
            found["validation"] = None
        named = [name for name in found.values() if name is not None]
        if len(set(named)) < len(named):
            raise ValueError(f"{self.place}: train, validation and test are to be different splits, not {named}")
        return {ours: name for ours in SHARES if (name := found[ours]) is not None}

    def _table(self, split: Dataset, name: str, names: Sequence[str], options: HubOptions) -> Table:
        where = Path(f"{self.place} {name}")
        own = [split.column_names[index] for index in positions(where, split.column_names, names)]
        chosen = split.select_columns(own).with_format("arrow")
        within(where, len(split), chosen.data.nbytes)
        columns: dict[str, list[Any]] = {}
        for column, wanted in zip(own, names, strict=True):
            values = chosen[:][column].to_pylist()
            if wanted == options.label and options.kind == "classification":
                values = self._named(
                    where, values, tuple(options.labels or getattr(split.features[column], "names", ()))
                )
            columns[wanted] = values
        return Table(where, columns, range(1, len(split) + 1), False, f"the hub, {self.source.revision[:12]}")

    def _named(self, where: Path, values: list[Any], names: tuple[str, ...]) -> list[Any]:
        """Numbers of classes as their names, where there are names for them."""
        if not names:
            return values
        for row, value in enumerate(values, 1):
            if value == HIDDEN:
                raise ValueError(
                    f"{where}, row {row}: has no label ({HIDDEN}), as hidden test sets have none; name a split that has"
                    " labels, as in {test: validation}"
                )
            if value is not None and (not isinstance(value, int) or not 0 <= value < len(names)):
                raise ValueError(
                    f"{where}, row {row}: the label {value!r} is no number of one of {len(names)} labels, which are"
                    f" {', '.join(map(repr, names[:8]))}"
                )
        return [value if value is None else names[value] for value in values]

    @override
    def about(self) -> dict[str, Any]:
        repo, revision, config = self.source.repo, self.source.revision, self.source.config
        key = "hub-" + re.sub(r"\W+", "-", repo)
        url = f"https://huggingface.co/datasets/{repo}"
        return {
            "name": f"hub:{self.description}",
            "title": repo.partition("/")[2] + (f" ({config})" if config else ""),
            "summary": f"The data set {repo} of the Hugging Face hub{f', config {config}' if config else ''}",
            "licence": licence(snapshot(repo, revision, "dataset", ["README.md"])) or SEE_PAGE,
            "citation": key,
            "bibtex": f"@misc{{{key},\n  title = {{{{{repo}}}}},\n  howpublished = {{Hugging Face hub}},\n"
            f"  note = {{commit {revision[:12]}}},\n  url = {{{url}}},\n}}",
            "offline": False,
        }

    @override
    def commits(self) -> dict[str, str]:
        return {self.source.repo: self.source.revision}


def get(description: str, registry: object) -> type[HubDataTask]:
    """The class of the task of a data set, at the commit that its revision is now. Raises ValueError on what is no
    name of one, TaskUnavailable where it cannot be had."""
    named = NAME.fullmatch(description)
    if named is None:
        raise ValueError(
            f"hub:{description}: write hub:organisation/name, and after it a config and a revision if need be, as in"
            " hub:nyu-mll/glue/rte@main"
        )
    repo, config = named["repo"], named["config"]
    found = commit(Source(repo, named["revision"] or "main"))
    whole = description

    class Made(HubDataTask):
        description = whole
        source = Source(repo, found, config)
        revision = f"{READING}+{found[:12]}"

    return Made


def _load(source: Source, place: str) -> DatasetDict:
    """All splits of the config, as the hub or its cache has them. Raises TaskUnavailable, with what there is where it
    has no such config."""
    from datasets import DatasetDict, load_dataset

    try:
        loaded = load_dataset(source.repo, source.config, revision=source.revision)
        assert isinstance(loaded, DatasetDict)
        return loaded
    except Exception as error:
        raise TaskUnavailable(_why(error, source, place)) from error


def _why(error: Exception, source: Source, place: str) -> str:
    """In one line."""
    from datasets import get_dataset_config_names

    if "scripts are no longer supported" in str(error):
        return (
            f"{place}: the data set needs code of its own, which is never run; hub:{source.repo}@{CONVERTED} may have"
            " its data without"
        )
    try:
        configs = get_dataset_config_names(source.repo, revision=source.revision)
    except Exception:
        configs = []
    if configs and source.config not in configs and (source.config or len(configs) > 1):
        lacks = f"has no config {source.config!r}" if source.config else "has several configs"
        return f"{place}: {lacks}; there are {listing(configs[:20])}; write hub:{source.repo}/{configs[0]}"
    return f"{place}: {one_line(explain(error, source.repo, source.revision, 'data set'), 600)}"

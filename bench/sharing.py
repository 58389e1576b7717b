"""The commands that give results to others: in the formats of others, and as a folder for a static host.

`bench export` makes a model of one cell; `bench convert` writes the results of a whole folder in another form. They are
two verbs, since `peft` is an adapter to the one and result files to the other, as it is to `bench import`, which
`bench convert` undoes.
"""

from __future__ import annotations

import argparse
from typing import Any

from bench.folders import UsageError, expanded, path_of, store_of, usable_folder
from records.text import printable

FORMATS = ("peft", "every-eval-ever", "parquet")


def add_commands(commands: Any) -> None:
    """To the parser of the command line."""
    convert = commands.add_parser("convert", help="write results in a format of others")
    convert.add_argument("results", help="a results folder, or a suite's name")
    target = (
        "peft: result files as in its method_comparison; every-eval-ever: that schema, with examples; parquet: tidy"
        " tables, as a data set for the hub"
    )
    convert.add_argument("--to", required=True, choices=FORMATS, help=target)
    convert.add_argument("folder", type=path_of, help="where to write; there must be nothing yet")
    convert.add_argument("--organisation", default="unknown", help="who says all this (every-eval-ever)")
    convert.add_argument("--licence", default="unknown", help="of the tables, as the hub names it: cc-by-4.0 (parquet)")
    convert.add_argument("--push-to-hub", metavar="REPO", help="also upload it as a data set, to organisation/name")
    convert.add_argument("--private", action="store_true", help="a repository that is made for it is private")
    convert.set_defaults(command=_convert)

    publish = commands.add_parser("publish", help="the report's page with its records, as a folder for a static host")
    publish.add_argument("results", help="a results folder, or a suite's name")
    publish.add_argument("folder", type=path_of, help="where to write; an earlier publication there is replaced")
    publish.add_argument("--topic", default="all", help="what it is about, as of `bench report` (default: all)")
    publish.add_argument(
        "--template", type=path_of, help="your own .cls or .sty, or a folder with one or with templates"
    )
    publish.add_argument(
        "--texts", action="store_true", help="also the texts of test examples, whose licence is theirs"
    )
    publish.set_defaults(command=_publish)


def _convert(arguments: argparse.Namespace) -> int:
    from bench.converting import Options, convert
    from bench.export import hub

    if arguments.push_to_hub and arguments.to != "parquet":
        raise UsageError(f"--push-to-hub is for --to parquet, which is a data set; {arguments.to} is not")
    store, folder = store_of(arguments.results), expanded(arguments.folder)
    options = Options(arguments.organisation, arguments.licence, arguments.push_to_hub or "")
    made = convert(store, arguments.to, folder, options)
    for line in made.lines:
        print(printable(f"{folder}: {line}"))
    if arguments.push_to_hub:
        try:
            print(printable(f"uploaded: {hub.push(folder, arguments.push_to_hub, arguments.private, 'dataset')}"))
        except hub.UploadError as error:
            raise UsageError(str(error)) from None
    return 0 if made.whole else 1


def _publish(arguments: argparse.Namespace) -> int:
    from reports.build_publication import publish

    template = expanded(arguments.template) if arguments.template else None
    if template and not template.exists():
        raise UsageError(f"{template}: no such file or folder; a template is a .cls or .sty, or a folder with one")
    folder = usable_folder(arguments.folder, write=True)
    made = publish(store_of(arguments.results).root, folder, arguments.topic, template, arguments.texts)
    for line in made.lines:
        print(printable(line))
    return 0 if made.whole else 1

"""A results folder as one small file: its manifest and its records, and nothing else of it.

It is a tar archive, packed by xz, with the folder in it: `tar -xf embedded.tar.xz` unpacks it, and every command reads
what comes out. Records of one suite are alike, so that they pack to a tenth of what they take one by one.
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
from pathlib import Path

from records import files
from records.store import LONGEST, RecordStore, ResultsError
from records.text import escaped

ENDING = ".tar.xz"
# What a file of ours may unpack to.
MOST = 1024 * 2**20
_ENTRY = re.compile(r"[\w-]+/(manifest\.json|cells/[0-9a-f]{12}/record\.json)")


def pack(store: RecordStore, name: str, complete: bool = True) -> bytes:
    """The archive of a results folder, as a folder called `name`: the same bytes for the same records. Raises
    ResultsError where a cell has no result, or its record cannot be read; of a search, a trial that failed is one.
    Unless it is to be `complete`: then these are left out."""
    manifest = store.manifest()
    records = {record.id: record for record in store.records()}
    lacking = [cell_id for cell_id in manifest.cells if cell_id not in records]
    none = ("broken",) if "spaces" in manifest.suite else ("failed", "broken")
    lacking += [record.id for record in records.values() if record.status in none]
    if lacking and complete:
        raise ResultsError(
            f"{store.root}: {len(lacking)} of {len(manifest.cells)} cells have no result, as {lacking[0]}; run the"
            " suite to its end first"
        )
    readable = sorted(record.id for record in records.values() if record.status != "broken")
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:xz", format=tarfile.PAX_FORMAT, preset=9) as archive:
        for parts in (("manifest.json",), *(("cells", cell_id, "record.json") for cell_id in readable)):
            data = files.read_within(store.root, *parts, longest=LONGEST)
            entry = tarfile.TarInfo("/".join((name, *parts)))
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return sink.getvalue()


def unpack(archive: Path, folder: Path) -> RecordStore:
    """The results folder of an archive, put into `folder`. Nothing is written outside of it. Raises ResultsError where
    the file is no such archive."""
    try:
        with tarfile.open(archive, mode="r:xz") as opened:
            entries = opened.getmembers()
            if odd := [entry.name for entry in entries if not (entry.isfile() and _ENTRY.fullmatch(entry.name))]:
                raise ResultsError(f"{archive}: is no archive of records: holds {escaped(odd[0][:100])!r}")
            if sum(entry.size for entry in entries) > MOST:
                raise ResultsError(f"{archive}: unpacks to more than {MOST / 2**20:.0f} MiB")
            opened.extractall(folder, filter="data")
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise ResultsError(f"{archive}: is no archive of records: {error}") from None
    names = {entry.name.partition("/")[0] for entry in entries}
    if len(names) != 1:
        raise ResultsError(f"{archive}: is no archive of records: holds {len(names)} folders, where one was to be")
    return RecordStore(folder / names.pop())

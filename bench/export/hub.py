"""An export on the Hugging Face hub, or on whatever HF_ENDPOINT names."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from records.text import reason


class UploadError(Exception):
    """The hub has not taken a folder; the message says in one line why."""


def push(folder: Path, repo: str, private: bool = False, kind: Literal["model", "dataset"] = "model") -> str:
    """Uploads the folder as a repository of that kind, which is made where there is none of that name, and returns its
    address. Raises UploadError where the hub refuses, or is not to be reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    hub = HfApi()
    try:
        hub.create_repo(repo, private=private, exist_ok=True, repo_type=kind)
        hub.upload_folder(repo_id=repo, folder_path=folder, commit_message="Exported by adaptbench", repo_type=kind)
    except HFValidationError as error:
        raise UploadError(f"{repo}: is no name of a repository, such as organisation/name ({reason(error)})") from None
    except Exception as error:  # of the many kinds that the hub's client and what carries it have
        raise UploadError(f"{folder}: was written, and not uploaded to {repo}: {reason(error)}") from None
    return f"{hub.endpoint}/{'datasets/' if kind == 'dataset' else ''}{repo}"

"""An export on the Hugging Face hub, or on whatever HF_ENDPOINT names."""

from __future__ import annotations

from pathlib import Path

from bench.export.base import ExportError
from records.text import reason


def push(folder: Path, repo: str, private: bool = False) -> str:
    """Uploads the folder as a model, which is made where there is none of that name, and returns its address. Raises
    ExportError where the hub refuses, or is not to be reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    hub = HfApi()
    try:
        hub.create_repo(repo, private=private, exist_ok=True)
        hub.upload_folder(repo_id=repo, folder_path=folder, commit_message="Exported by adaptbench")
    except HFValidationError as error:
        raise ExportError(f"{repo}: is no name of a repository, such as organisation/name ({reason(error)})") from None
    except Exception as error:  # of the many kinds that the hub's client and what carries it have
        raise ExportError(f"{folder}: was written, and not uploaded to {repo}: {reason(error)}") from None
    return f"{hub.endpoint}/{repo}"

"""The hub: how this machine is set up for it, and whether it can be reached."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench.doctor.base import Line
from records.text import reason

HUB = "https://huggingface.co"
# Looking up a name can take longer than any limit that a connection is given: so long is waited in all.
SECONDS = 4.0
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def access() -> Iterator[Line]:
    """Offline or not, from where, with a token or without: never which."""
    place = os.environ.get("HF_ENDPOINT") or HUB
    token = "with a token" if _has_token() else "without a token"
    if offline := [name for name in OFFLINE if os.environ.get(name, "").lower() in ("1", "true", "yes", "on")]:
        yield Line("hub", f"not asked: {', '.join(offline)} is set; {token}", "note")
        return
    reached = _reached(place)
    if reached == "yes":
        yield Line("hub", f"{place} answers; {token}")
    else:
        said = f"{place} cannot be reached ({reached}), which the default suite does without; {token}"
        yield Line("hub", said, "note")


def _has_token() -> bool:
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    kept = Path(os.environ.get("HF_TOKEN_PATH") or home / "token").expanduser()
    return any(os.environ.get(name) for name in TOKENS) or kept.is_file()


def _reached(place: str) -> str:
    """ "yes", or why not."""
    found = [f"no answer within {SECONDS:.0f} s"]

    def ask() -> None:
        try:
            request = urllib.request.Request(place, method="HEAD")
            urllib.request.urlopen(request, timeout=SECONDS).close()
            found[0] = "yes"
        except urllib.error.HTTPError:
            found[0] = "yes"  # it answers, whatever it says
        except Exception as error:  # also what is no address at all, in which a password may stand
            found[0] = reason(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)
    return found[0]

"""What a program printed, fit to be kept and shown: no terminal codes, no secrets."""

from __future__ import annotations

import os
import re

from records.text import printable

_SECRETS = (
    # Tokens by the shapes that their makers gave them.
    re.compile(r"hf_[A-Za-z0-9]{20,}"),
    re.compile(r"api_org_[A-Za-z0-9]{20,}"),
    re.compile(r"\bsk-[A-Za-z0-9_-]{16,}"),
    re.compile(r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"),
    re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    # Whatever stands where a secret stands.
    re.compile(r"(?<=://)[^\s/@]*:[^\s/@]+(?=@)"),
    re.compile(r"(?i)\bauthorization[\"']?\s*[:=]\s*[\"']?(?:\w+\s+)?(?P<value>[A-Za-z0-9._~+/=-]{8,})"),
    re.compile(r"(?i)\bbearer\s+(?P<value>(?=\S*\d)[A-Za-z0-9._~+/=-]{16,})"),
    # In a sentence a word may follow a colon; a password that does is only told from it by a digit.
    re.compile(r"(?i)(?:password|passwd|secret)[\"']?(?:=|[\"']?\s*[=:]\s*(?=\S*\d))[\"']?(?P<value>[^\s\"'&,;]{4,})"),
    re.compile(
        r"(?i:api[_-]?key|access[_-]?key|token)[\"']?\s*[=:]\s*[\"']?"
        r"(?P<value>(?=[^\s\"'&,;]*\d)(?=[^\s\"'&,;]*[a-z])(?=[^\s\"'&,;]*[A-Z])[^\s\"'&,;]{12,}|[0-9a-f]{16,})"
    ),
)
_NAMED = re.compile(r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|KEY|CREDENTIALS?)$", re.IGNORECASE)
_SHORTEST = 8  # of an environment variable's value that is taken for a secret
MASK = "[secret]"


def redacted(text: str) -> str:
    """Printable, and with a mask where a secret stands: a token of a known shape, a password in an address, the value
    of an environment variable whose name says that it is one."""
    text = printable(text)
    for value in _secret_values():
        text = text.replace(value, MASK)
    for pattern in _SECRETS:
        text = pattern.sub(_masked, text)
    return text


def _masked(found: re.Match[str]) -> str:
    whole = found.group()
    value = found.groupdict().get("value")
    return MASK if value is None else whole.removesuffix(value) + MASK


def _secret_values() -> list[str]:
    """The longest first, so that none is left in part."""
    values = {value for name, value in os.environ.items() if _NAMED.search(name) and len(value) >= _SHORTEST}
    return sorted(values, key=len, reverse=True)

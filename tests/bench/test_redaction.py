"""What is shown of a program's output: no terminal codes, no secrets, and the rest as it was."""

from __future__ import annotations

import pytest

from records.record import Record
from records.redaction import MASK, redacted
from records.text import printable
from tests.bench.test_records import cell

RANDOM = "a1B2c3D4e5F6g7H8i9J0k1L2"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;a new title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice\x1b\\text\x1bc", "text"),
        ("a\x00b\x07c\x08d\x7f\x9b31m", "abcd"),
        ("a\tb\r\nc\rd", "a\tb\nc\nd"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("half \ud83d of a pair", "half  of a pair"),
        ("größe 中文 🙂 e\u0301 \u200d", "größe 中文 🙂 e\u0301 \u200d"),
    ],
)
def test_terminal_codes_are_left_out_and_every_script_stays(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    "secret",
    [
        f"hf_{RANDOM}", f"sk-{RANDOM}", f"sk-ant-api03-{RANDOM}", f"ghp_{RANDOM}", f"github_pat_{RANDOM}",
        f"glpat-{RANDOM}", "xoxb-123456789012-abc", "AKIAIOSFODNN7EXAMPLE", "eyJhbGciOiJIUzI1.eyJzdWIiOiIx.c2lnbmF0",
    ],
)  # fmt: skip
def test_tokens_of_known_shapes_are_masked_wherever_they_stand(secret):
    assert redacted(f"401: '{secret}' is no token, in {secret}.") == f"401: '{MASK}' is no token, in {MASK}."
    # Nor does an error that writes the code out.
    assert secret not in redacted(str(KeyError(f"\x1b[31m{secret}")))
    # A code in its middle hides no token.
    assert secret not in redacted(f"{secret[:6]}\x1b[0m{secret[6:]}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pass%20word@host/path", f"https://{MASK}@host/path"),
        ("Authorization: Bearer abc.def-123", f"Authorization: Bearer {MASK}"),
        ("password=hunter2&x=1", f"password={MASK}&x=1"),
        ('{"api_key": "0123456789abcdef"}', f'{{"api_key": "{MASK}"}}'),
    ],
)
def test_what_stands_where_a_secret_stands_is_masked(text, shown):
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "the basic configuration is wrong", "password: must be given", "token=tokens_per_batch_16", "bearer of news",
        "unexpected token: definitely", "pad_token: '[PAD]'", "KeyError: 'labels'", "https://host:8080/path",
        "the tokenizer has 30522 tokens; max_length=128", "sk-learn, hf_hub, ghp_", "lr=0.001 (user@host)",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text):
    assert redacted(text) == text


def test_values_of_the_environment_that_are_secret_by_name_are_masked(monkeypatch):
    monkeypatch.setenv("MY_SERVICE_TOKEN", "correct horse battery")
    monkeypatch.setenv("MY_OTHER_SECRET", "correct horse battery staple")
    monkeypatch.setenv("MY_FOLDER", "a folder of mine")
    assert redacted("said correct horse battery staple, correct horse battery") == f"said {MASK}, {MASK}"
    assert redacted("a folder of mine") == "a folder of mine"


def test_a_reason_is_fit_to_be_shown_when_it_is_read_from_a_strangers_record():
    found = Record(
        id=cell().id, cell=cell(), status="failed", reason=f"\x1b[2Jhf_{RANDOM}", started="", finished="",
        wall_seconds=0,
    )  # fmt: skip
    assert found.reason == MASK

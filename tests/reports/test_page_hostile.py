"""Names, logs and reasons that try to be mark-up or script: shown as they are, and nothing runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic_results as synthetic
from browser import write_page

from records.store import RecordStore

NAMES = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    r"\input{/etc/passwd}",
    "'\"`; alert(3) //--><!-- {{ 7*7 }} ${7*7} %s & < \u2028 \x7f",
    "中文 😀 \u202egnp.exe naïve",
    "javascript:alert(4)",
    "END\nrm -rf nothing\n'",
    "__proto__",
    "x" * 300,
)
LOG = (
    "\x1b[31m<b>red</b></pre></script><script>alert(5)</script>\n" * 20
    + "\udcff broken".encode("utf-8", "replace").decode()
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells, records = [], []
    for name in NAMES:
        for seed in range(2):
            cell = synthetic.cell("lora", "rotten_tomatoes", seed, label=name)
            cells.append(cell.model_copy(update={"hyperparameters": {name: name, "lr": 0.1}}))
            made = (
                synthetic.record(cells[-1], reason=name) if seed else synthetic.record(cells[-1], "failed", reason=name)
            )
            environment = {"processor": name, "versions": {name: name}}
            records.append(made.model_copy(update={"id": cells[-1].id, "environment": environment}))
    methods, tasks = synthetic.method_cards(), {k: dict(v) for k, v in synthetic.TASKS.items()}
    methods["lora"] |= {"title": NAMES[0], "family": NAMES[1]}
    methods["lora"]["claims"] = [
        {"text": name, "source": name, "measure": "score", "comparator": name, "relation": "higher", "scope": name}
        for name in NAMES
    ]
    tasks["rotten_tomatoes"]["title"] = NAMES[1]
    root = tmp_path_factory.mktemp("hostile") / "results <b> & #1"
    cards = {"methods": methods, "tasks": tasks, "backbones": synthetic.BACKBONES}
    suite = synthetic.suite(cells) | {"name": NAMES[0], "notes": " ".join(NAMES), "plugins": list(NAMES)}
    synthetic.write(root, cells, records, cards=cards, suite=suite)
    for cell in cells:
        RecordStore(root).log(cell.id).write_bytes(LOG.encode() + b"\xff\xfe\x00")
    return write_page(root, root.parent / "page ? 2")


def test_names_are_shown_and_nothing_runs(path: Path, opened):
    page = opened(path)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    shown = set(page.eval_on_selector_all("#cell-table tbody th", "els => els.map(el => el.textContent)"))
    assert shown == set(NAMES)
    assert set(page.eval_on_selector_all("#cell-tools option", "els => els.map(el => el.textContent)")) >= set(NAMES)
    assert page.eval_on_selector_all("script", "els => els.length") == 3
    assert page.eval_on_selector_all("[onerror], [onload], img, iframe, object", "els => els.length") == 0
    claims = page.eval_on_selector_all(".claim .quote", "els => els.map(el => el.textContent)")
    assert [any(text.startswith(name.split()[0]) for text in claims) for name in NAMES] == [True] * len(NAMES)
    links = page.eval_on_selector_all("a[href]", "els => els.map(el => el.getAttribute('href'))")
    assert [link for link in links if not link.startswith(("#", "https://", "tables/"))] == []


def test_points_tips_and_views_show_them_too(path: Path, opened):
    page = opened(path)
    for point in page.locator(".point").all():
        point.focus()
        assert any(page.locator(".tip b").text_content().startswith(name) for name in NAMES)
    page.locator("#plot-table summary").click()
    assert set(page.eval_on_selector_all("#plot-table tbody th", "els => els.map(el => el.textContent)")) == set(NAMES)


def test_cell_views_show_log_reason_and_environment(path: Path, opened):
    page = opened(path)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    links = page.eval_on_selector_all("#cell-table tbody a", "els => els.map(el => [el.hash, el.textContent])")
    assert len(links) == 2 * len(NAMES)
    for link, name in links:
        page.evaluate("hash => { location.hash = hash }", link)
        page.wait_for_function("name => document.querySelector('#view-title')?.textContent.startsWith(name)", arg=name)
        text = page.locator("#view-body").text_content()
        assert name in text
        assert "<b>red</b></pre></script><script>alert(5)</script>" in text
        for address in page.eval_on_selector_all("#view-body a", "els => els.map(el => el.href)"):
            assert address.startswith("file:")
    # The command's quoted text cannot end early, whatever a name holds.
    for line in page.locator(".repeat pre").text_content().split("\n")[1:-3]:
        assert line == "END" or line.partition(":")[0].isidentifier()


def test_links_to_files_work_where_folders_have_odd_names(path: Path, opened):
    page = opened(path)
    page.locator("#cell-table tbody a").first.click()
    address = page.locator("#view-body a", has_text="log.txt").get_attribute("href")
    from urllib.parse import unquote

    assert (path.parent / unquote(address)).exists()


def test_strange_addresses_do_nothing(path: Path, opened):
    for fragment in (
        "#cell-<img src=x onerror=alert(1)>",
        "#records=<script>alert(1)</script>",
        "#%",
        "#cell-__proto__",
    ):
        page = opened(path, fragment)
        assert page.locator("#cell-table tbody a").count() > 0

"""What lies in the report's folder: complete, self-contained, compiled, safe with hostile names."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import pytest
import synthetic_results as synthetic

from records.store import ResultsError
from reports.build import Report, build_report
from reports.model.document import Equation
from reports.render.html_blocks import Writer

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = (
    "</script><script>alert(1)</script>",
    r"\input{/etc/passwd}",
    "$x_1^2$ 50% & #~^{}\"'`|--<<>>[1]",
    "中文 😀 naïve Łódź α≥β",
    "[a](b) " + "a" * 90,
)


def test_everything_is_written(report: Report):
    for key in ("scores", "differences", "cost", "memory", "budget", "hyperparameters", "unfinished", "environment"):
        assert (report.folder / f"tables/{key}.tex").stat().st_size > 200
        assert (report.folder / f"tables/{key}.csv").stat().st_size > 20
    for key in ("tradeoff", "cost", "curves"):
        assert (report.folder / f"figures/{key}.pdf").read_bytes().startswith(b"%PDF")
        assert "<svg" in (report.folder / f"figures/{key}.svg").read_text()
    assert any("index.html" in line for line in report.lines)


def test_tables_can_be_taken_elsewhere(report: Report):
    for path in report.folder.glob("tables/*.tex"):
        text = path.read_text()
        assert text.count("\\begin{table") == 1
        assert "\\caption{" in text
        assert f"\\label{{tab:{path.stem}}}" in text
        assert "\\toprule" in text
        assert "\\bottomrule" in text
        assert "|" not in re.search(r"\\begin\{tabular\}\{(.*)\}", text).group(1)


def test_every_reference_is_defined(report: Report):
    source = "".join(p.read_text() for p in [report.folder / "report.tex", *report.folder.glob("tables/*.tex")])
    cited = {key for keys in re.findall(r"\\cite[tp]\{([^}]*)\}", source) for key in keys.split(",")}
    bibliography = (report.folder / "references.bib").read_text() + (report.folder / "run.bib").read_text()
    entries = re.findall(r"@\w+\{([^,]+),", bibliography)
    assert len(entries) == len(set(entries))
    assert cited <= set(entries)
    # Every method and every data set is cited, the survey and the software too.
    used = {entry[0] for entry in synthetic.ENTRIES.values()} | {"pang2005seeing", "greene2006practical"}
    software = {"paszke2019pytorch", "wolf2020transformers", "lhoest2021datasets", "gugger2022accelerate"}
    assert cited >= used | software | {"pfeiffer2023modular", "wang2020minilm"}
    labels = set(re.findall(r"\\label\{([^}]*)\}", source))
    referred = set(re.findall(r"\\ref\{([^}]*)\}", source))
    assert referred <= labels
    # No table or figure of the main part stands unannounced.
    main = (report.folder / "report.tex").read_text().partition("\\bibliography{")[0]
    shown = {f"tab:{key}" for key in re.findall(r"\\input\{tables/([^}]*)\}", main)}
    assert shown | set(re.findall(r"\\label\{(fig:[^}]*)\}", main)) <= referred


@pytest.mark.skipif(shutil.which("latexmk") is None, reason="latexmk is not installed")
def test_pdf_is_compiled_without_complaints(report: Report):
    assert report.pdf is not None, report.lines
    assert report.pdf.read_bytes().startswith(b"%PDF")
    log = (report.folder / "build/report.log").read_text(errors="replace")
    assert "undefined" not in log.lower()
    assert "multiply defined" not in log
    assert [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log) if float(points) > 5] == []
    assert "no value bench@" not in log


def test_without_latexmk_a_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = synthetic.write_usual(tmp_path / "results", seeds=1)
    monkeypatch.setenv("PATH", str(tmp_path))
    made = build_report(root, tmp_path / "elsewhere")
    assert made.pdf is None
    assert "latexmk -pdf report.tex" in made.lines[-1]
    assert (tmp_path / "elsewhere/report.tex").exists()
    assert not (root / "report").exists()


class _Page(HTMLParser):
    """Collects what could load, run or point somewhere, and whether the tags are balanced."""

    VOID = frozenset({"meta", "br", "input", "link", "img", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.scripts: list[str] = []
        self.data: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in ("link", "iframe", "img", "object", "embed", "image"):
            self.loads.append(tag)
        if "src" in given or (tag == "script" and "href" in given):
            self.loads.append(str(given))
        self.handlers += [name for name in given if name.startswith("on")]
        if given.get("id"):
            self.ids.append(given["id"])
        for name in ("href", "xlink:href"):
            if (target := given.get(name)) is not None and tag in ("a", "use"):
                self.anchors.append(target)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "script":
            (self.data if given.get("type") == "application/json" else self.scripts).append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if self.open[-1:] != ["script"]:
            self.text.append(data)
        elif self.scripts:  # the page's own script comes last
            self.scripts[-1] += data
        else:
            self.data[-1] += data


def _parse(page: Path) -> _Page:
    parser = _Page()
    parser.feed(page.read_text())
    return parser


def test_page_is_self_contained_and_consistent(report: Report):
    page = _parse(report.page)
    assert page.unbalanced == []
    assert page.open == []
    assert page.loads == []
    assert page.handlers == []
    assert len(page.ids) == len(set(page.ids))
    overview, _ = map(json.loads, page.data)
    known = set(overview["ids"])
    for target in page.anchors:
        if target.startswith(("#cell-", "#records=")):
            assert set(re.sub("#cell-|#records=", "", target).split(",")) <= known, target
        elif target.startswith("#"):
            assert target[1:] in page.ids, target
        elif not target.startswith("https://"):
            assert (report.folder / target).exists(), target
    text = report.page.read_text()
    assert "url(http" not in text
    assert "@import" not in text


def test_methods_that_share_a_formula_share_no_id():
    writer = Writer({}, Path(), {})
    drawn = "".join(writer.block(Equation(r"h \leftarrow h + U\,\sigma(D h)")) for _ in range(2))
    ids = re.findall(r'\bid="([^"]*)"', drawn)
    assert ids
    assert len(ids) == len(set(ids))
    assert {target for target in re.findall(r'href="#([^"]*)"', drawn)} <= set(ids)


def test_policy_lets_only_the_pages_own_script_run(report: Report):
    text = report.page.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1).replace("&#39;", "'")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<[^>]*\sstyle=", text.partition("<body>")[2].partition("<script")[0])
    assert "default-src 'none'" in policy


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Names, reasons, notes, cards and versions that try to be mark-up."""
    cells, records = [], []
    for name in HOSTILE:
        for seed in range(2):
            cell = synthetic.cell("lora", "rotten_tomatoes", seed, label=name)
            cell = cell.model_copy(update={"hyperparameters": cell.hyperparameters | {name: name, "lr": 0.1}})
            cells.append(cell)
            made = synthetic.record(cell) if seed else synthetic.record(cell, "failed", reason=name + "\n" + name)
            records.append(made.model_copy(update={"environment": {"processor": name, "versions": {name: name}}}))
    methods, tasks = synthetic.method_cards(), {k: dict(v) for k, v in synthetic.TASKS.items()}
    for card in [*methods.values(), *tasks.values()]:
        card["title"] = card["summary"] = " ".join(HOSTILE)
    tasks["rotten_tomatoes"]["labels"] = list(HOSTILE)
    methods["lora"]["formula"] = r"h = } \input{/etc/passwd} $"
    methods["lora"]["bibtex"] = methods["lora"]["bibtex"].replace("{LoRA}", r"\input{/etc/passwd} <script> {LoRA} & 5%")
    suite = synthetic.suite(cells) | {"name": HOSTILE[0], "notes": " ".join(HOSTILE), "command": HOSTILE[2]}
    root = tmp_path_factory.mktemp("hostile") / "results"
    cards = {"methods": methods, "tasks": tasks, "backbones": synthetic.BACKBONES}
    return build_report(synthetic.write(root, cells, records, suite=suite, cards=cards))


def test_hostile_names_are_shown_but_do_nothing_in_html(hostile: Report):
    page = _parse(hostile.page)
    assert page.unbalanced == []
    assert len(page.scripts) == 1
    assert "alert" not in page.scripts[0]
    assert page.handlers == []
    shown = "".join(page.text)
    for name in HOSTILE:
        assert name in shown


def test_hostile_names_are_shown_but_do_nothing_in_latex(hostile: Report):
    sources = [*hostile.folder.glob("*.tex"), *hostile.folder.glob("tables/*.tex"), hostile.folder / "references.bib"]
    for path in sources:
        text = path.read_text()
        taken = {name.partition("/")[0] for name in re.findall(r"\\input\{([^}]*)\}", text)}
        assert taken <= {"numbers", "tables", "words"}, path
    assert r"\textbackslash{}input\{/etc/passwd\}" in (hostile.folder / "tables/scores.tex").read_text()
    if shutil.which("latexmk"):
        assert hostile.pdf is not None, hostile.lines
        log = (hostile.folder / "build/report.log").read_text(errors="replace")
        assert "(/etc/passwd" not in log
        assert "undefined" not in log.lower()


def test_report_needs_neither_torch_nor_plugins(usual: Path, tmp_path: Path):
    code = """
import importlib.abc, json, sys
BLOCKED = {"torch", "transformers", "datasets", "accelerate", "methods", "tasks"}
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
sys.path.insert(0, sys.argv[1])
from reports.build import build_report
report = build_report(sys.argv[2], sys.argv[3])
print(json.dumps([str(report.page), sorted(BLOCKED & set(sys.modules))]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), str(usual), str(tmp_path / "report")],
        capture_output=True, text=True, env={"PATH": "/nonexistent", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page, loaded = json.loads(done.stdout)
    assert loaded == []
    assert Path(page).stat().st_size > 100_000


def test_same_records_give_the_same_bytes(usual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # the PDF is LaTeX's own business

    def digests(folder: Path) -> dict[str, str]:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    # The same depth, so that relative links to records agree.
    first, second = (digests(build_report(usual, tmp_path / name).folder) for name in ("a", "b"))
    assert first == second


@pytest.mark.usefixtures("blank_figures")
def test_tables_that_no_longer_apply_are_removed_and_other_files_kept(tmp_path: Path):
    cells = synthetic.grid(["full", "lora"], ["bbc_news"])
    root = synthetic.write(tmp_path / "results", cells, [synthetic.record(c) for c in cells[:-1]])
    folder = build_report(root).folder
    assert (folder / "tables/unfinished.tex").exists()
    (folder / "tables/mine.tex").write_text("my own words")
    (folder / "own.tex").write_text(r"\renewcommand{\student}{Ada}")
    synthetic.write(root, cells, [synthetic.record(c) for c in cells])
    build_report(root)
    assert not (folder / "tables/unfinished.tex").exists()
    assert not (folder / "tables/unfinished.csv").exists()
    assert (folder / "tables/mine.tex").read_text() == "my own words"
    assert "Ada" in (folder / "own.tex").read_text()


def test_no_results_is_one_clear_line(tmp_path: Path):
    with pytest.raises(ResultsError, match="no results here") as caught:
        build_report(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ResultsError, match="no cells"):
        build_report(synthetic.write(tmp_path / "empty", [], []))


def test_an_output_that_cannot_be_written_is_one_clear_line(usual: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot write") as caught:
        build_report(usual, tmp_path / "file" / "report")
    assert "\n" not in str(caught.value)

"""Results folders, cards and templates from strangers: what they hold is shown, and nothing of it is run, or read from
elsewhere, or written there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import synthetic_results as synthetic

from bench.registry import Registry
from records.store import RecordStore, ResultsError
from reports.build import build_report, read_results
from reports.build_talk import build_slides
from reports.model.document import plain_key
from reports.model.references import parse
from reports.render import compiling, page_data
from reports.render.bibtex import bibtex
from reports.render.formulas import layout_of
from reports.render.inline_svg import formula_svg
from reports.render.latex import equation
from reports.render.templating import Style, TemplateError, read_style, render

needs_latex = pytest.mark.skipif(shutil.which("latexmk") is None, reason="latexmk is not installed")

ABOUT_SCORES = {"source": "k", "text": "x", "measure": "score", "comparator": "full", "relation": "equal"}
MATHEMATICS = (
    r"h = W x + \frac{\alpha}{r} B A x",
    r"x'_2 + x''^2 + x_\mathrm{up}^{\top} + {}^{2}x + \hat\theta + \sqrt[3]{x} + \frac12",
    r"\left( \frac{a}{b} \middle| c \right] + \bigl\{ \lfloor x \rfloor \bigr\}",
    r"a &= b \\ c &= d",
    r"f(x) = \begin{cases} x & \text{if } x > 0 \\ 0 & \text{else} \end{cases}",
    r"\begin{aligned} a &= b \\ c &= \begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix} \end{aligned}",
    r"\operatorname{softmax}_c \, \overset{!}{=} \underbrace{a + b}_{c} \quad \textstyle\sum_{i=1}^n A_i s^\top",
    r"x_{\text{a b}} \in \{1, \dots, n\}, \; \lVert w \rVert_2 \leq \varepsilon, [e_1; e_2] \mapsto |c|",
)
PROGRAMS = (
    r"\immediate\openout3=x.txt",
    r"\immediate\write18{touch x}",
    r"\input{/etc/passwd}",
    r"\def\x{\x\x}\x",
    r"\loop\iftrue\repeat",
    r"\csname input\endcsname x",
    r"\catcode`\@=11",
    r"\begin{document}x\end{document}",
    r"\begin{filecontents}{x.txt}y\end{filecontents}",
    r"\text{\input{x}}",
    r"\text{$x$}",
    r"\mathrm{\immediate}",
    r"\includegraphics{x}",
    r"\href{https://example.org}{x}",
    r"\special{x}",
    r"^^5cinput x",
    r"\expandafter\relax",
    r"\hskip 1in",
    r"x % y",
    r"x $ y",
    r"x # y",
    r"\rule{1em}{99999pt}",
    r"\lowercase{x}",
)
STOPS_LATEX = (
    "x^2^3",
    "x_1_2",
    "x^2'",
    r"\left( x",
    r"x \right)",
    r"\frac{a}",
    r"\frac{a & b}{c}",
    r"\begin{cases} a & b & c \end{cases}",
    r"\begin{cases} a \end{matrix}",
    r"a \\ [b]",
    "{",
    "}",
    "a } b",
    "a\n\nb",
    "",
    " ",
    "x^",
    r"\hat",
    "α",
    "{" * 40 + "}" * 40,
    "x" * 5000,
    "\\",
    r"\begin{cases",
    r"\text{a",
)


def test_formulas_of_all_our_cards_are_mathematics():
    registry = Registry()
    cards = [registry.get("methods", name).cls.card for name in registry.names("methods")]
    assert len(cards) >= 34
    assert [card.name for card in cards if layout_of(card.formula) is None] == []


@pytest.mark.parametrize("formula", PROGRAMS + STOPS_LATEX)
def test_what_is_no_mathematics_is_shown_and_not_set(formula: str):
    assert layout_of(formula) is None
    said = equation(formula)
    assert "\\benchformula" not in said
    # Whatever is left of a command is its name, printed.
    assert not re.search(
        r"\\(?!text|ensuremath|alpha|allowbreak|begin\{quote\}|end\{quote\}|small|benchscript|ldots|[&%$#_{}])", said
    )
    assert formula_svg(formula, "x").startswith("<code>")


@needs_latex
def test_latex_sets_what_is_allowed(tmp_path: Path):
    """All in one document: LaTeX stops at the first that it cannot set."""
    assert [f for f in MATHEMATICS if layout_of(f) is None] == []
    fit = r"\newcommand{\benchformula}[1]{\[#1\]}"
    body = "\n".join(equation(formula) for formula in MATHEMATICS)
    source = f"\\documentclass{{article}}\\usepackage{{amsmath,amssymb}}{fit}\\begin{{document}}{body}\\end{{document}}"
    (tmp_path / "report.tex").write_text(source)
    compiled = compiling.compile_pdf(tmp_path, "report")
    assert compiled.pdf is not None, compiled.said


def test_bibliographies_hold_no_commands():
    text = r"""@misc{a, author={{\input{x}} \immediate\write18{touch x} Vuli{\'c}},
    title={A \def\x{y} {B} \openout3=x & \"u},
    doi={10.1/^^5cinput}, url={https://e.org/\input{x}#a^^5c}, note={\csname x\endcsname}}"""
    [entry] = parse(text)
    written = bibtex(entry)
    assert not re.search(r"\\(?!&|#|%|_|textasciicircum)", written)
    assert "^^" not in written
    assert "Vulić" in written
    assert "ü" in written


def test_what_is_no_bibliography_is_passed_over_without_a_word(capfd: pytest.CaptureFixture[str]):
    unclosed, deep = "@misc{a, title={" * 30_000, "{" * 200_000 + "}" * 200_000
    assert parse(unclosed) == parse("@misc{a" * 2_000) == parse("@" * 500_000) == []
    [entry] = parse(f"@misc{{\x1b[31m, title={{x}}}} @misc{{b, title={{{deep}}}, title={{last}}, \x1b=1}} @misc{{c")
    assert (entry.key, entry.plain("title")) == ("b", "last")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "body",
    [
        "((( ''.__class__.__mro__ )))",
        "((( document.__init__.__globals__ )))",
        "((( document['__class__'] )))",
        "((( document|attr('__class__') )))",
        "((* for i in range(10 ** 9) *))x((* endfor *))",
        "((* for i in range(1000000000) *))x((* endfor *))",
        "((( 'x' * 1000000000 )))",
        "((( [0] * 1000000000 )))",
        "((( document.figures[0].draw().savefig('written.pdf') )))",
        "((( document.tables[0].data.to_csv('written.csv') )))",
        "((( document.walk() )))",
        "((( style.folder.iterdir()|list )))",
        "((( style.folder.joinpath('written.txt').write_text('x') )))",
        "((* include '../secret.txt' *))",
        "((* include '/etc/passwd' *))",
        "((* include '../pyproject.toml' *))",
        "((( '{0.__class__}'.format(document) )))",
        "((( 1 / 0 )))",
        "((( missing )))",
        "((* if *))",
    ],
)
def test_templates_run_no_python(usual: Path, tmp_path: Path, body: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "look").mkdir()
    (tmp_path / "look/report.tex.jinja").write_text(body)
    style = read_style(tmp_path / "look")
    results = read_results(usual)
    from reports.analysis.analysis import analyse
    from reports.sections import report as document

    with pytest.raises(TemplateError) as error:
        render(style, "report.tex.jinja", {"document": document.compose(analyse(results)), "body": "", "end": ""})
    assert "\n" not in str(error.value).strip()
    assert "report.tex.jinja" in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["look", "secret.txt"]


def test_templates_still_do_what_templates_do(tmp_path: Path):
    (tmp_path / "report.tex.jinja").write_text(
        "((* macro m(x) *))<((( x|upper )))>((* endmacro *))((( m('a_b'|tex) )))"
        "((* for n in values *))((( loop.index * 2 )))((( n.items()|list|length )))((* endfor *))((( say('ü') )))"
    )
    made = render(Style(folder=tmp_path), "report.tex.jinja", {"values": [{"a": 1}]}, {"say": lambda text: text + "!"})
    assert made == r"<A\_B>21ü!"


def test_a_template_that_is_a_link_to_elsewhere_is_refused(tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "look/parts").mkdir(parents=True)
    (tmp_path / "look/report.tex.jinja").write_text("x")
    (tmp_path / "look/parts/x.jinja").symlink_to(tmp_path / "secret")
    with pytest.raises(TemplateError, match="leads out of the template's folder"):
        read_style(tmp_path / "look")


def two_cells(root: Path, **cards: Any) -> Path:
    cells = synthetic.grid(("full", "lora"), ("bbc_news",), 1)
    return synthetic.write(root, cells, [synthetic.record(cell) for cell in cells], **cards)


def logs(root: Path, output: Path) -> list[tuple[str, list[str]]]:
    results = read_results(root)
    data = page_data.details(results, output)
    cells = []
    for packed in data["cells"]:
        keys = data["keys"][packed[0]]
        cell = dict(zip(keys, packed[1:], strict=True))
        cells.append((cell["log"], [link[1] for link in cell["files"][1:]]))
    return cells


@pytest.mark.parametrize("kind", ["link to a file outside", "link to its folder", "fifo", "folder", "link to itself"])
def test_a_log_that_is_none_is_not_read(tmp_path: Path, kind: str):
    root, secret = two_cells(tmp_path / "r"), tmp_path / "secret"
    secret.mkdir()
    (secret / "log.txt").write_text("the secret of another file")
    log = RecordStore(root).log(next(iter(read_results(root).records)))
    match kind:
        case "link to a file outside":
            log.symlink_to(secret / "log.txt")
        case "link to its folder":
            shutil.copy(log.parent / "record.json", secret)
            shutil.rmtree(log.parent)
            log.parent.symlink_to(secret)
        case "fifo":
            os.mkfifo(log)
        case "folder":
            log.mkdir()
        case "link to itself":
            log.symlink_to(log)
    assert all(text == "" and not any("log" in link for link in links) for text, links in logs(root, tmp_path / "out"))


def test_a_log_is_read_from_its_end_and_shown_without_codes_and_secrets(tmp_path: Path):
    root = two_cells(tmp_path / "r")
    log = RecordStore(root).log(next(iter(read_results(root).records)))
    token = "hf_" + "Ab1" * 12
    with log.open("wb") as file:
        file.truncate(3_000_000_000)  # no disk is taken: a hole
        file.seek(0, os.SEEK_END)
        file.write(f"\n\x1b]0;title\x07\x1b[31mred\x1b[0m {token} \u202egnp.exe\x00 the end\n".encode())
    text, _ = logs(root, tmp_path / "out")[0]
    assert len(text) < 10_000
    assert text.endswith("the end")
    assert "red" in text
    assert not re.search("[\x00-\x08\x1b\u202e]", text)
    assert token not in text


def test_reasons_are_shown_without_codes_and_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    token = "ghp_" + "aB3" * 12
    [cell, other] = synthetic.grid(("full", "lora"), ("bbc_news",), 1)
    reason = f"\x1b[2J\x1b[31mhttps://me:hunter22@example.org refused {token}"
    records = [synthetic.record(cell), synthetic.record(other, "failed", reason=reason)]
    root = synthetic.write(tmp_path / "r", [cell, other], records)
    built = build_report(root)
    for path in (built.page, built.folder / "tables/unfinished.tex", built.folder / "tables/unfinished.csv"):
        text = path.read_text()
        assert "example.org" in text
        assert token not in text
        assert "hunter22" not in text
        assert "\x1b" not in text
        assert "u001b" not in text


@pytest.mark.parametrize(
    ("kind", "change", "where"),
    [
        ("methods", {"title": 5}, "title"),
        ("methods", {"formula": ["x"]}, "formula"),
        ("methods", {"family": {}}, "family"),
        ("methods", {"claims": "x"}, "claims"),
        ("methods", {"claims": [{"text": "x"}]}, "claims.0.source"),
        ("methods", {"claims": [ABOUT_SCORES | {"relation": "best"}]}, "relation"),
        ("methods", {"claims": [ABOUT_SCORES | {"margin": -1}]}, "margin"),
        ("methods", {"summary": "x" * 10**6}, "summary"),
        ("methods", {"bibtex": 7}, "bibtex"),
        ("tasks", {"metrics": "accuracy"}, "metrics"),
        ("tasks", {"metrics": [1]}, "metrics.0"),
        ("tasks", {"labels": 3}, "labels"),
        ("tasks", {"scales": {"accuracy": {"name": "accuracy", "low": "zero"}}}, "scales.accuracy.low"),
        ("tasks", {"scales": ["accuracy"]}, "scales"),
        ("tasks", {"split": 70}, "split"),
        ("backbones", {"parameters": "many"}, "parameters"),
        ("backbones", {"architecture": [1]}, "architecture"),
    ],
)  # fmt: skip
def test_a_card_of_another_shape_is_one_line(tmp_path: Path, kind: str, change: dict, where: str):
    cards: dict[str, Any] = {"methods": synthetic.method_cards(), "tasks": dict(synthetic.TASKS),
                             "backbones": dict(synthetic.BACKBONES)}  # fmt: skip
    name = {"methods": "lora", "tasks": "bbc_news", "backbones": synthetic.BACKBONE}[kind]
    cards[kind][name] = cards[kind][name] | change
    root = two_cells(tmp_path / "r", cards=cards)
    for build in (build_report, build_slides):
        with pytest.raises(ResultsError) as error:
            build(root, tmp_path / "out")
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 500
        assert "manifest.json" in str(error.value)
        assert name in str(error.value)
        assert where in str(error.value)


def test_odd_environments_and_settings_are_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    root = two_cells(tmp_path / "r")
    for i, path in enumerate(sorted(root.glob("cells/*/record.json"))):
        record = json.loads(path.read_text())
        record["environment"] = {"versions": ["torch"], "commit": 7, "cores": [1], "memory_bytes": "much", "python": {}}
        record["profiled"] = {"versions": 3} if i else {}
        record["cell"]["hyperparameters"] |= {"lr": None}
        path.write_text(json.dumps(record))
    manifest = json.loads((root / "manifest.json").read_text())
    for cell, lr in zip(manifest["cells"].values(), (1e999, "fast"), strict=True):
        cell["hyperparameters"]["lr"] = lr
    manifest["suite"] |= {"notes": ["a"], "name": 3, "plugins": "x", "command": {}}
    (root / "manifest.json").write_text(json.dumps(manifest))
    assert build_report(root).page.exists()


def test_a_family_of_any_name_is_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    methods = synthetic.method_cards()
    methods["full"]["family"], methods["lora"]["family"] = "x}\\input{secret}", "größe"
    root = two_cells(
        tmp_path / "r", cards={"methods": methods, "tasks": synthetic.TASKS, "backbones": synthetic.BACKBONES}
    )
    source = (build_report(root).folder / "report.tex").read_text()
    labels = re.findall(r"\\label\{(.*?)\}", source)
    assert len(labels) == len(set(labels))
    assert all(re.fullmatch(r"[a-z-]+:?[A-Za-z0-9-]*", label) for label in labels)
    assert r"\input{secret}" not in source


def test_plain_keys_are_different_for_different_texts():
    texts = ["größe", "grüße", "gr--e", "模型", "数据", "", "-", "a b", "a-b", "soft-prompt"]
    keys = [plain_key(text) for text in texts]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch("[A-Za-z0-9-]*", key) for key in keys)
    assert plain_key("soft-prompt") == "soft-prompt"


def test_nothing_is_written_through_a_link(usual: Path, tmp_path: Path):
    target = tmp_path / "precious.txt"
    target.write_text("precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").symlink_to(target)
    with pytest.raises(ResultsError, match="leads out of the folder"):
        build_report(usual, out)
    assert target.read_text() == "precious"


@pytest.mark.usefixtures("blank_figures")
def test_a_list_of_what_was_written_removes_nothing_elsewhere(usual: Path, tmp_path: Path):
    precious = tmp_path / "tables" / "precious.tex"
    precious.parent.mkdir()
    precious.write_text("precious")
    out = tmp_path / "out"
    (out / "build").mkdir(parents=True)
    (out / "build" / "written.txt").write_text(f"{precious}\ntables/../../tables/precious.tex\n")
    build_report(usual, out)
    assert precious.read_text() == "precious"


def test_a_report_folder_that_is_a_link_is_not_written_to(tmp_path: Path):
    cells = synthetic.grid(("full",), tasks=("t",), seeds=1)
    root = synthetic.write(tmp_path / "r", cells, [synthetic.record(each) for each in cells])
    (tmp_path / "elsewhere").mkdir()
    (root / "report").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResultsError, match="is a link"):
        build_report(root)
    assert not list((tmp_path / "elsewhere").iterdir())


@needs_latex
def test_a_hostile_style_can_neither_run_a_program_nor_write_elsewhere(tmp_path: Path):
    """A style is LaTeX by nature: what holds it is how LaTeX is run."""
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "report.tex").write_text(
        "\\documentclass{article}\\begin{document}x\\immediate\\write18{touch ran}"
        f"\\immediate\\openout3={tmp_path}/written.txt \\immediate\\write3{{x}}\\immediate\\closeout3 \\end{{document}}"
    )
    compiling.compile_pdf(folder, "report")
    found = subprocess.run(["find", str(tmp_path), "-name", "written.txt", "-o", "-name", "ran"], capture_output=True)
    assert found.stdout == b""

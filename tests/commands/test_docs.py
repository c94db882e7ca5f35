"""The documents: links lead somewhere, and commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from infomax_tune.cli import app
from infomax_tune.commands.reference import reference
from infomax_tune.study import columns
from infomax_tune.study.settings import as_markdown, describe_settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_resolves(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_and_option_named_exists(document: Path) -> None:
    commands = get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    options = {name for command in commands.values() for parameter in command.params for name in parameter.opts}
    text = document.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL))
    for line in re.findall(r"^ *infomax-tune (.*)$", blocks, flags=re.MULTILINE):
        assert line.split()[0] in commands, line
        assert set(re.findall(r"--[a-z-]+", line.partition("#")[0])) <= options, line


def test_the_readme_s_python_runs_and_every_file_is_explained() -> None:
    """README's Python as it stands there, and what its sweep leaves in docs/output-folder.md."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    check = "assert len(table) == 20 and record.status == 'done'"
    done = subprocess.run([sys.executable, "-c", f"{program}\n{check}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path("results/pair/analysis/report.html").exists()
    explained = (ROOT / "docs/output-folder.md").read_text(encoding="utf-8").partition("## Columns")[0]
    (trial, *_) = Path("results/pair/trials").iterdir()
    for path in (*Path("results/pair").iterdir(), *trial.iterdir()):
        assert re.search(rf"(^|\s){re.escape(path.name)}[\s,;/]", explained, flags=re.MULTILINE), path


def test_every_bundled_space_is_named() -> None:
    text = (ROOT / "docs/sweeps.md").read_text(encoding="utf-8")
    for path in (ROOT / "search_spaces").glob("*.yaml"):
        assert f"| `{path.stem}` |" in text


def test_every_column_is_explained() -> None:
    """The settings stand in docs/settings.md."""
    text = (ROOT / "docs/output-folder.md").read_text(encoding="utf-8")
    rows = "\n".join(line.partition(" | ")[0] for line in text.splitlines() if line.startswith("| `"))
    assert [name for name in columns.RESULTS if f"`{name}`" not in rows and name not in columns.SETTINGS] == []
    assert f"`{next(iter(columns.SETTINGS))}` to `{list(columns.SETTINGS)[-1]}`" in rows


def test_the_references_are_those_of_the_code() -> None:
    """Of commands and options, and of settings."""
    written = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert written == reference(), "python -m infomax_tune.commands.reference > docs/commands.md"
    head, _, table = (ROOT / "docs/settings.md").read_text(encoding="utf-8").partition("| setting")
    assert head.startswith("# Settings")
    assert f"| setting{table}" == as_markdown(describe_settings()), "infomax-tune settings --markdown"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_english_is_plain(document: Path) -> None:
    """Words that only a translation would use."""
    text = " ".join(document.read_text(encoding="utf-8").lower().split())
    quaint = ("anew", "tell of", "tells of", "in vain", "seldom", "told apart", "row a trial", "cannot be said")
    assert [words for words in quaint if re.search(rf"\b{words}\b", text)] == []


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = [path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")]
    assert [name for name in pages if f"]({name})" not in index and name != "README.md"] == []

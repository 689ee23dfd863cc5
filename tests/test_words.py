"""Code, messages and documents use the field's words: `words.txt` lists those to avoid."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {".py", ".md", ".sh", ".yaml", ".toml", ".cc", ".h", ".html", ".css", ".js"}
WORDS = [
    (word, folders[0].split() if folders else [])
    for line in (ROOT / "tests" / "words.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
    for word, _, *folders in [line.split("\t")]
]
# Keys, flags, columns and files that users already have, and the tests that read them; names of
# other libraries; CIELAB.
OLD_NAMES = re.compile(
    r"--recipe|\brecipes?:|[\"'`]recipes?[\"'`]|\b(?:lab|experiment)\.recipes|train\.recipe"
    r"|\blab:|[\"'`]lab[\"'`]|--lab\.|\blab is now|\bLab(?: colours|, LogLuv)"
    r"|contrast_weight|[\"'`]contrast[\"'`]|,contrast,|x2_contrast\.yaml|teacher_contrast_total"
    r"|[\"']iterations\b|\bstruct\.pack|\.tell\b|\bstore_true\b|nn\.Cell",
    re.I,
)


def tracked() -> list[Path]:
    """The text files of the repository, this test's own list and the history left out."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    files = [ROOT / name for name in done.stdout.splitlines()] or sorted(ROOT.rglob("*"))
    return [f for f in files if f.suffix in SUFFIXES and f.name != "CHANGELOG.md" and f.is_file()]


def found(word: str, text: str) -> list[str]:
    """Lines of `text` that hold `word`, also as a part of an identifier: `read_photograph`."""
    pattern = re.compile(rf"(?<![A-Za-z]){word.replace(' ', '[ _]')}(?![a-z])", re.I)
    return [line.strip() for line in text.splitlines() if pattern.search(OLD_NAMES.sub("", line))]


def test_a_word_is_found_where_it_stands():
    assert found("picture", "def compare_picture(a):  # two Pictures") == [
        "def compare_picture(a):  # two Pictures"
    ]
    assert not found("recipe", "`--recipe` is an alias; pictures") and not found("mend", "amend")
    assert found("go on", "def test_runs_go_on():")


@pytest.mark.parametrize(("word", "folders"), WORDS)
def test_word_is_avoided(word, folders):
    hits = {
        f"{file.relative_to(ROOT)}: {line[:90]}"
        for file in tracked()
        if file.name != "test_words.py"
        and (not folders or file.relative_to(ROOT).parts[0] in folders)
        for line in found(word, file.read_text(encoding="utf-8", errors="replace"))
    }
    assert not hits, "\n".join(sorted(hits))

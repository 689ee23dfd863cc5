"""README_CN.md has the commands and the figures of README.md."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README_CN.md").read_text(encoding="utf-8")


def commands(text):
    """Everything to type, comments left out, in its order."""
    text = text.replace("\\\n", " ")
    found = re.findall(r"(?:^ +|`)((?:python|bash|pip) [^`\n|]*)", text, re.M)
    return [re.sub(r"\s+", " ", line.split(" #")[0]).strip() for line in found]


def figures(text):
    """The numbers of the tables' rows."""
    rows = re.findall(r"^\|.*\|$", text, re.M)
    return [re.findall(r"\d+(?:\.\d+)?", row) for row in rows]


def test_same_commands():
    assert commands(ENGLISH) == commands(CHINESE)
    assert len(commands(ENGLISH)) > 12


def test_same_figures_in_the_tables():
    assert figures(ENGLISH) == figures(CHINESE)
    assert sum(map(len, figures(ENGLISH))) > 20


def test_it_is_chinese():
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)|^ {4}.*$|^\|.*$|^```[\s\S]*?^```", "", CHINESE, flags=re.M)
    chinese = len(re.findall(r"[\u4e00-\u9fff]", prose))
    assert chinese > len(re.findall(r"[A-Za-z]{2,}", prose)) and chinese > 500

"""README_CN.md says in Chinese what README.md says: the same sections, commands and figures."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README_CN.md").read_text(encoding="utf-8")


def sections(text):
    """Level of each heading, with the text below it."""
    parts = re.split(r"^(#+) .*$", text, flags=re.M)[1:]
    return list(zip(map(len, parts[::2]), parts[1::2], strict=True))


def commands(text):
    """Everything to type, comments left out, in its order."""
    text = text.replace("\\\n", " ")
    found = re.findall(r"(?:^ +|`)((?:python|bash|docker|pip) [^`\n|]*)", text, re.M)
    return [re.sub(r"\s+", " ", line.split(" #")[0]).strip() for line in found]


def test_same_sections_with_the_same_commands_figures_and_links():
    english, chinese = sections(ENGLISH), sections(CHINESE)
    assert [level for level, _ in english] == [level for level, _ in chinese]
    for (_, said), (_, told) in zip(english, chinese, strict=True):
        assert commands(said) == commands(told)
        assert re.findall(r"\d+\.\d+(?:/\d\.\d+)?", said) == re.findall(
            r"\d+\.\d+(?:/\d\.\d+)?", told
        )
        links = [set(re.findall(r"\]\(([^)]+)\)", text)) for text in (said, told)]
        assert links[0] - {"README_CN.md"} == links[1] - {"README.md"}
        flags = [set(re.findall(r"--[a-z_.]+", text)) for text in (said, told)]
        assert flags[0] == flags[1]
    assert len(commands(ENGLISH)) > 12


def test_it_is_chinese():
    # What is not typed is Chinese in every section: more characters of it than English words.
    for _, text in sections(CHINESE):
        prose = re.sub(r"`[^`]*`|\]\([^)]*\)|^ {4}.*$|^\|.*$|@[A-Z]+@", "", text, flags=re.M)
        chinese = len(re.findall(r"[\u4e00-\u9fff]", prose))
        words = len(re.findall(r"[A-Za-z]{2,}", prose))
        assert chinese > words and chinese > 10, text[:200]
    assert "README.md" in CHINESE.split("##")[0]

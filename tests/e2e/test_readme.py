"""What the documentation has people type exists."""

import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *ROOT.glob("README_*.md")]


def _commands(page: Path) -> list[str]:
    """Lines that start a program, continuation lines joined, from code blocks and table cells."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(
        r"(?:^|`)\s*((?:python -m experiments\.\w+|(?:python|bash) [\w./-]+\.(?:py|sh))[^`\n|]*)",
        text,
        re.M,
    )
    return [re.sub(r"\s+", " ", line.split(" #")[0]).strip() for line in found]


def _runner(program: str) -> list[str]:
    if program.startswith("experiments."):
        return [sys.executable, "-m", program]
    return [sys.executable if program.endswith(".py") else "bash", program]


@lru_cache
def _help(program: str) -> str:
    done = subprocess.run(
        [*_runner(program), "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


CASES = sorted({(page.name, line) for page in PAGES for line in _commands(page)})


def test_pages_have_commands():
    assert len([1 for page, _ in CASES if page == "README.md"]) > 12


@pytest.mark.parametrize(("page", "line"), CASES)
def test_command_is_known(page, line):
    program = line.removeprefix("python -m ").split()[0 if " -m " in line else 1]
    file = program.replace(".", "/") + ".py" if program.startswith("experiments.") else program
    assert (ROOT / file).is_file(), f"{page}: {program} does not exist"
    for config in re.findall(r"configs/[\w.-]+\.yaml", line):
        assert (ROOT / config).is_file(), f"{page}: {config} does not exist"
    if program == "scripts/setup_env.sh":
        return
    text = _help(program)
    for flag in re.findall(r"(?<=\s)--([A-Za-z][\w-]*)(?![\w.-]*\.)", line):
        in_training = "train" in program and flag in _help("train.py")
        assert f"--{flag}" in text or in_training, f"{page}: {program} has no --{flag}"
    for key in re.findall(r"(?<=\s)--([a-z]+\.\w+)", line):
        assert key in _help("train.py") or key in text, f"{page}: {program} has no key {key}"


def test_nothing_is_left_to_fill_in():
    for page in PAGES:
        assert not re.search(r"@[A-Z]+@|TODO|FIXME", page.read_text(encoding="utf-8")), page.name


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"

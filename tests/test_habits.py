"""Functions and files stay small: at most 50 lines of code and 8 parameters; 400 lines a file."""

import ast
import functools
import importlib.util
import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINES, PARAMETERS, FILE_LINES = 50, 8, 400

_NOTHING = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}


def code_lines(text):
    """Numbers of the lines that hold code: no comments, blank lines or docstrings."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NOTHING:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        text_alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if text_alone and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return lines


def functions(text, module):
    """(module:name, lines of code, parameters without self) of every function, nested ones too."""
    lines = code_lines(text)
    found = []

    def measure(node, name, is_method):
        arguments = node.args
        count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs)
        count += bool(arguments.vararg) + bool(arguments.kwarg)
        static = any(getattr(word, "id", "") == "staticmethod" for word in node.decorator_list)
        used = lines & set(range(node.lineno, node.end_lineno + 1))
        found.append((f"{module}:{name}", len(used), count - (is_method and not static)))

    def visit(node, prefix, in_class):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}{child.name}.", True)
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                measure(child, prefix + child.name, in_class)
                visit(child, f"{prefix}{child.name}.", False)
            else:
                visit(child, prefix, in_class)

    visit(ast.parse(text), "", False)
    return found


@functools.cache
def all_functions():
    found = []
    for path in sorted((ROOT / "src" / "csd").rglob("*.py")):
        module = path.relative_to(ROOT / "src" / "csd").with_suffix("").as_posix()
        found += functions(path.read_text(encoding="utf-8"), module)
    return found


def test_functions_are_at_most_50_lines_long():
    long = {name: lines for name, lines, _ in all_functions() if lines > LINES}
    assert not long, f"{long}: cut them into functions of one job each"


def test_functions_have_at_most_8_parameters():
    wide = {name: count for name, _, count in all_functions() if count > PARAMETERS}
    assert not wide, f"{wide}: hand over an object"


def test_files_are_at_most_400_lines_long():
    paths = [p for root in ("src", "experiments") for p in (ROOT / root).rglob("*.py")]
    long = {p.name: n for p in paths if (n := len(p.read_text().splitlines())) > FILE_LINES}
    assert not long, f"{long}: cut them into files of one idea each"


def test_what_is_counted():
    text = '''
def long(a, b, *args, c=1, **more):
    """Two
    lines."""

    # a comment
    x = [
        1,
    ]

    def inner(y):
        return y

    return x


class Thing:
    def method(self, a):
        """Text."""
'''
    assert functions(text, "m") == [
        ("m:long", 7, 5),
        ("m:long.inner", 2, 1),
        ("m:Thing.method", 1, 1),
    ]


def test_what_the_benchmarks_import_is_there():
    """They import inside their functions, where neither --help nor a linter looks."""
    missing = []
    for file in [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("docs/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "csd":
                module = importlib.import_module(node.module)
                for name in (alias.name for alias in node.names):
                    if not hasattr(module, name) and not _is_module(f"{node.module}.{name}"):
                        missing.append(f"{file.name}: {node.module}.{name}")
    assert not missing


def _is_module(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False

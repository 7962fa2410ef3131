"""What a reader of the public names relies on: docstrings, layers, messages that name what exists."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import click
import pytest

import popeq
from popeq import metrics, statistics
from popeq.cli import popeq as program
from popeq.plugins import registry
from tests.conftest import ROOT

HARNESS = ROOT / "benchmark" / "popeq"
#: Folders and modules of the harness by layer; what is not named is a module of the lowest layer. A module
#: imports from its own layer and from those below it.
LAYERS = (
    {"metrics", "statistics"},
    {"drawing", "runs"},
    {"board", "lookup"},
    {"api", "in_process", "interchange", "site", "studies"},
    {"adapting", "learning", "studying", "sweeping", "testing", "tuning", "verifying"},
    {"pytest_plugin", "cli"},
)
#: A shape such as ``(P, n, 2)``, ``(m,)`` or ``(cells^2,)``.
SHAPE = re.compile(r"\((?:len\(\w+\)|[\w ^*+.-]+)(?:, ?(?:[\w ^*+.-]+)?)+\)")
UNIT = re.compile(r"\bdB\b|\bHz\b|\b[Ss]hare\b|\bunit\b|\b[Rr]atio\b|\bp\b|\bcorrelation\b|\branks?\b")
ARRAY = re.compile(r"NDArray|ArrayLike|Floats")


def public() -> list[tuple[str, object]]:
    found = [(f"popeq.{name}", getattr(popeq, name)) for name in popeq.__all__]
    for module in (metrics, statistics):
        found += [(f"{module.__name__}.{name}", getattr(module, name)) for name in module.__all__]
    return [(name, value) for name, value in found if inspect.isclass(value) or inspect.isfunction(value)]


@pytest.mark.parametrize(("name", "value"), public(), ids=[name for name, _ in public()])
def test_a_public_name_says_what_it_is_with_shapes_and_units(name, value):
    own = value.__doc__ or ""
    assert len(own.split()) >= 4, f"{name} has no docstring"
    if not inspect.isfunction(value):
        return
    annotations = " ".join(map(str, value.__annotations__.values()))
    if ARRAY.search(annotations):
        assert SHAPE.search(own), f"{name} takes or gives an array and its docstring has no shape"
        assert UNIT.search(own), f"{name} takes or gives an array and its docstring has no unit"


def test_no_public_function_has_more_than_seven_parameters():
    """Commands of the command line are left out: click gives them an option each, by name."""
    found = []
    for root in ("benchmark/popeq", "plugins", "datasets"):
        for path in sorted((ROOT / root).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                    continue
                if any("command" in ast.dump(decorator) for decorator in node.decorator_list):
                    continue
                own = node.args
                names = [a.arg for a in (*own.posonlyargs, *own.args, *own.kwonlyargs)]
                if len([n for n in names if n not in ("self", "cls", "ctx")]) > 7:
                    found.append(f"{path.name}: {node.name}")
    assert not found


def layer(module: str) -> int:
    parts = module.split(".")
    named = [i for i, names in enumerate(LAYERS) if len(parts) > 1 and parts[1] in names]
    return named[0] + 1 if named else 0


def imported(path: Path) -> set[str]:
    """Modules of popeq that a file imports, inside functions too, but for those that types alone need."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "popeq"}


def test_no_module_imports_from_a_layer_above_it():
    for path in sorted(HARNESS.rglob("*.py")):
        if path == HARNESS / "__init__.py":
            continue  # names of all layers, imported when they are first used
        module = ".".join(("popeq", *path.relative_to(HARNESS).with_suffix("").parts))
        for name in imported(path):
            assert layer(name) <= layer(module), f"{module} imports {name}"


def commands() -> dict[str, click.Command]:
    """Every command and subcommand by its words, such as ``leaderboard show``."""
    context = click.Context(program)
    found = {}

    def add(words: tuple[str, ...], command: click.Command) -> None:
        found[" ".join(words)] = command
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                sub = command.get_command(context, name)
                assert sub is not None
                add((*words, name), sub)

    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None
        add((name,), command)
    return found


def texts() -> list[tuple[Path, str]]:
    """Every text in the sources, the fixed parts of formatted ones joined by a space."""
    found = []
    for root in ("benchmark", "plugins", "datasets"):
        for path in sorted((ROOT / root).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr):
                    parts = [str(v.value) if isinstance(v, ast.Constant) else "X" for v in node.values]
                    found.append((path, "".join(parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append((path, node.value))
    return found


def test_messages_name_commands_and_options_that_exist():
    known = commands()
    flags = {
        flag for command in known.values() for p in command.params for flag in (*p.opts, *p.secondary_opts)
    }
    parameters = {
        f"--{name.replace('_', '-')}"
        for spec in registry().predictors.values()
        for name in spec.parameters.model_fields
    }
    importers = {
        f"--{name.replace('_', '-')}"
        for spec in registry().importers.values()
        for name in spec.parameters.model_fields
    }
    others = {"--help", "--popeq-baseline", "--popeq-update", "--version"}
    for path, text in texts():
        for words in re.findall(r"['`\"]popeq ((?:[a-z-]+ ?)+)", text):
            first = words.split()[0]
            assert first in {name.split()[0] for name in known}, f"{path}: {text!r} names popeq {first}"
        if path.parent.name in ("runs", "board", "cli", "studies", "testing", "tuning"):
            for flag in re.findall(r"(?<![\w/-])--[a-z][a-z-]*[a-z]\b(?!-)", text):
                known_flags = flags | parameters | importers | others
                assert flag in known_flags, f"{path}: {text!r} names the option {flag}"


def test_messages_name_functions_and_docs_that_exist():
    for path, text in texts():
        for name in re.findall(r"\bpopeq\.(\w+)\(", text):
            assert name in popeq.__all__, f"{path}: {text!r} names popeq.{name}()"
        for page in re.findall(r"\bdocs/[\w./-]+\.md", text):
            assert (ROOT / page).exists(), f"{path}: {text!r} names {page}"

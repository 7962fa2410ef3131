"""The repository's own rules: folders, import directions, names, what must and must not be there."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = {
    "popeq": "benchmark",
    "popeq_audio": "plugins",
    "popeq_baselines": "plugins",
    "popeq_dsp": "plugins",
    "popeq_groups": "plugins",
    "popeq_llm": "plugins",
    "popeq_mlflow": "plugins",
    "popeq_peft": "plugins",
    "popeq_data": "datasets",
}
MAY_IMPORT = {
    "popeq": {"popeq"},
    "popeq_audio": {"popeq", "popeq_audio", "popeq_data", "popeq_llm"},
    "popeq_baselines": {"popeq", "popeq_baselines"},
    "popeq_dsp": {"popeq", "popeq_dsp", "popeq_llm"},
    "popeq_groups": {"popeq", "popeq_groups"},
    "popeq_llm": {"popeq", "popeq_llm"},
    "popeq_mlflow": {"popeq", "popeq_mlflow"},
    "popeq_peft": {"popeq", "popeq_llm", "popeq_peft"},
    "popeq_data": {"popeq", "popeq_data"},
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / PACKAGES[package] / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
    return names


def test_hugging_faces_datasets_is_never_shadowed():
    for name in ("benchmark", "plugins", "datasets"):
        assert not (ROOT / name / "__init__.py").exists()


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package):
    for path in sources(package):
        ours = {n.split(".")[0] for n in imported(path) if n.split(".")[0].startswith("popeq")}
        assert ours <= MAY_IMPORT[package], path


def test_no_module_of_the_harness_imports_torch():
    for path in sources("popeq"):
        assert not {n.split(".")[0] for n in imported(path)} & {"torch", "transformers", "peft"}, path


def test_the_harness_has_no_import_cycle():
    """Imports at module level only; those inside functions cannot make a cycle at import time."""

    def name_of(path: Path) -> str:
        parts = path.relative_to(ROOT / "benchmark").with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    modules = {name_of(p): p for p in sources("popeq")}
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        graph[name] = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.module in modules:
                full = {f"{node.module}.{a.name}" for a in node.names}
                graph[name] |= (full & set(modules)) or {node.module}
    seen: dict[str, str] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert seen.get(name) != "open", " -> ".join((*trail, name))
        if name not in seen:
            seen[name] = "open"
            for other in graph[name] - {name}:
                visit(other, (*trail, name))
            seen[name] = "done"

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_its_reason_and_stays_short(package):
    for path in sources(package):
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), path
        assert text.count("\n") <= 340, path


def tracked() -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_machine_and_none_holds_a_pickle_or_weights_by_accident():
    for path in tracked():
        assert path.suffix not in {".pkl", ".pickle", ".npy", ".pt", ".pth", ".joblib"}, path
        assert path.stat().st_size < 12_000_000, path
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        assert not re.search(r"(?<![\w.])/(work|home|root|Users)/\w", text), path


def test_readme_links_and_docs_exist():
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def test_what_a_stranger_needs_is_there():
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "SECURITY.md",
        "constraints.txt",
    ):
        assert (ROOT / name).stat().st_size > 100, name
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert "torch==2.13.0" in pins
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==\S+", p) for p in pins if p and not p.startswith("#"))


def test_installing_popeq_alone_stays_light():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=\[ ]", d)[0].lower() for d in project["dependencies"]}
    assert not names & {"torch", "transformers", "peft", "pyarrow", "sentence-transformers"}


def test_nothing_says_that_popeq_is_on_a_package_index():
    """Until it is: who follows such a line gets nothing, or what somebody else put there."""
    about_installing = {"installing.py", "test_installing.py", "test_release.py", Path(__file__).name}
    for path in tracked():
        if path.suffix in {".py", ".md", ".template", ".yml", ".toml"} and path.name not in about_installing:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"pip install (-\S+ )*['\"]?popeq\b(?! @)", text), path

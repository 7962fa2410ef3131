"""Which files count as the code of a run, however a plugin is installed, and what an edit to them does."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time

import pytest

from popeq.content_hash import content_identity, file_sha256, folder_sha256
from popeq.plugins import registry
from popeq.runs.code import changed_files, code_of, in_words, modules_of

MAIN = "from . import helper\nimport {other}\nimport json, numpy\nclass Blob: ...\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the path; whatever the tests put there is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]
    importlib.invalidate_caches()


def package(root, name, files):
    for file, text in files.items():
        path = root / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def distribution(site, name, entry, *, record=None, pth=None, url=None):
    """The metadata that an installer leaves behind for a plugin."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[popeq]\nmine = {entry}\n")
    files = [f"{info.name}/METADATA,,", *(f"{line},," for line in record or [])]
    if pth is not None:
        (site / f"_{name}.pth").write_text(f"{pth}\n")
        files.append(f"_{name}.pth,,")
    if url is not None:
        content = {"url": url.as_uri(), "dir_info": {"editable": True}}
        (info / "direct_url.json").write_text(json.dumps(content))
    if record is not None:
        (info / "RECORD").write_text("\n".join(files) + "\n")
    importlib.invalidate_caches()


def mine(root):
    """Two top-level packages of one distribution, tests, and data; the second imports a third."""
    package(
        root,
        "codemine",
        {
            "__init__.py": "",
            "blob.py": MAIN.format(other="codeother"),
            "helper.py": "",
            "data/words.txt": "warm\n",
            "__pycache__/x.pyc": "",
            ".hidden": "",
        },
    )
    package(root, "codeother", {"__init__.py": "x = 'codethird.deep:Thing'\n"})
    package(root, "codethird", {"__init__.py": "", "deep.py": ""})
    package(root, "codeunused", {"__init__.py": ""})
    package(root, "tests", {"test_blob.py": ""})


OWN = {"codemine/__init__.py", "codemine/blob.py", "codemine/helper.py", "codemine/data/words.txt"}
ALL = OWN | {"codeother/__init__.py", "codethird/__init__.py", "codethird/deep.py"}


@pytest.mark.parametrize("how", ["wheel", "pth", "finder", "bare"])
def test_the_same_files_count_however_a_plugin_is_installed(site, tmp_path, monkeypatch, how):
    root = site if how in ("wheel", "bare") else tmp_path / "checkout" / "src"
    mine(root)
    if root != site:
        monkeypatch.syspath_prepend(str(root))
    if how == "wheel":
        names = ("codemine", "codeother", "codethird", "codeunused")
        distribution(site, "mine", "codemine", record=[f"{n}/__init__.py" for n in names])
    elif how == "pth":
        distribution(site, "mine", "codemine", record=[], pth=root)
    elif how == "finder":
        distribution(site, "mine", "codemine", record=["__editable___mine_finder.py"], url=root.parent)
    else:
        distribution(site, "mine", "codemine")
    code = code_of(["codemine.blob"])
    assert set(code.files) == ALL
    assert "codemine" not in sys.modules, "nothing was imported"


def test_packages_of_other_distributions_do_not_count(site):
    mine(site)
    distribution(site, "mine", "codemine", record=["codemine/__init__.py"])
    assert set(code_of(["codemine.blob"]).files) == OWN


def test_only_what_the_predictors_module_reaches_is_followed(site):
    mine(site)
    package(site, "codemine", {"apart.py": "import codeunused\n"})
    names = ("codemine", "codeother", "codethird", "codeunused")
    distribution(site, "mine", "codemine", record=[f"{n}/__init__.py" for n in names])
    assert set(code_of(["codemine.blob"]).files) == ALL | {"codemine/apart.py"}
    assert "codeunused/__init__.py" in code_of(["codemine.apart"]).files


def test_a_module_and_a_part_of_a_namespace_package_are_found(site):
    (site / "codeone.py").write_text("")
    package(site, "codespace/inner", {"__init__.py": "", "a.py": ""})
    package(site, "codespace/foreign", {"__init__.py": ""})
    assert set(code_of(["codeone"]).files) == {"codeone.py"}
    found = code_of(["codespace.inner.a"])
    assert set(found.files) == {"codespace/inner/__init__.py", "codespace/inner/a.py"}
    nowhere = code_of(["codenowhere.x", "json", "sys"])
    assert nowhere.files == {}


def test_every_edit_is_seen_at_once_and_named(site):
    mine(site)
    distribution(site, "mine", "codemine")
    before = code_of(["codemine.blob"])
    assert code_of(["codemine.blob"]) == before
    edits = {
        "codemine/data/words.txt": lambda p: p.write_text("cold\n"),
        "codethird/deep.py": lambda p: p.write_text("x = 1\n"),
        "codemine/new.py": lambda p: p.write_text(""),
        "codemine/helper.py": lambda p: p.unlink(),
    }
    for name, edit in edits.items():
        edit(site / name)
        after = code_of(["codemine.blob"])
        assert after.sha256 != before.sha256
        assert changed_files(before.files, after.files) == [name]
        before = after
    (site / "codemine/__pycache__/x.pyc").write_text("1")
    (site / "tests/test_blob.py").write_text("1")
    assert code_of(["codemine.blob"]) == before


def test_an_edit_that_keeps_size_and_time_is_seen(tmp_path):
    """As ``cp -p`` or a version control system leaves it; the inode's own time cannot be set."""

    path = tmp_path / "a.py"
    path.write_text("x = 1\n")
    old = time.time() - 100
    os.utime(path, (old, old))
    first = file_sha256(path)
    path.write_text("x = 2\n")
    os.utime(path, (old, old))
    assert file_sha256(path) != first


def test_a_large_file_is_read_once(tmp_path):
    """A later process returns what is kept: seen by exchanging it. What is damaged is computed again."""
    path = tmp_path / "model.safetensors"
    path.touch()
    os.truncate(path, 32 << 20)
    time.sleep(2.1)  # the hash of a file that has just changed is not kept

    def hashed_by_another_process() -> str:
        code = f"from popeq.content_hash import file_sha256, Path; print(file_sha256(Path({str(path)!r})))"
        env = os.environ | {"POPEQ_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip()

    first = hashed_by_another_process()
    assert first == hashlib.sha256(bytes(32 << 20)).hexdigest()
    (kept,) = (tmp_path / "cache").rglob("*.json")
    kept.write_text(kept.read_text().replace(first, "0" * 64))
    assert hashed_by_another_process() == "0" * 64
    kept.write_text("{broken")
    assert hashed_by_another_process() == first


def test_a_folder_counts_by_names_and_contents_of_the_wanted_files(tmp_path):
    package(tmp_path, "m", {"config.json": "{}", "a/w.safetensors": "1", "README.md": "x"})
    first = folder_sha256(tmp_path / "m", (".json", ".safetensors"))
    (tmp_path / "m/README.md").write_text("y")
    (tmp_path / "m/.cache").write_text("y")
    assert folder_sha256(tmp_path / "m", (".json", ".safetensors")) == first
    assert content_identity(tmp_path / "m", (".json", ".safetensors")) == f"sha256:{first}"
    (tmp_path / "m/a/w.safetensors").rename(tmp_path / "m/a/v.safetensors")
    assert folder_sha256(tmp_path / "m", (".json", ".safetensors")) != first
    assert content_identity(tmp_path / "nothing") is None
    package(tmp_path, "elsewhere", {"w.json": "1"})
    before = folder_sha256(tmp_path / "m")
    (tmp_path / "m/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "m/up").symlink_to(tmp_path / "m")
    after = folder_sha256(tmp_path / "m")
    assert after != before
    (tmp_path / "elsewhere/w.json").write_text("2")
    assert folder_sha256(tmp_path / "m") != after


def test_built_in_predictors_count_what_they_run_and_no_more():
    def packages(name):
        code = code_of(modules_of(registry().predictor(name)))
        return {file.split("/")[0] for file in code.files}

    assert packages("prior") == {"popeq_baselines"}
    assert packages("knn") == packages("icl-rag") == {"popeq_llm"}
    assert packages("lora-head") == {"popeq_peft", "popeq_llm"}
    assert packages("icl-dsp") == {"popeq_dsp", "popeq_llm"}
    assert {"popeq_audio", "popeq_llm"} <= packages("text-near")


def test_words_name_the_first_few():
    assert in_words(["a"]) == "a"
    assert in_words(list("abcde")) == "a, b, c and 2 more"

"""Compiled functions are kept on disk, are never out of date, and need no folder that can be written."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import popeq

CALLEE = """
from popeq.metrics._jit import compiled

@compiled()
def added(x):
    return x + 1
"""
CALLER = """
from callee import added
from popeq.metrics._jit import compiled

@compiled()
def doubled(x):
    return 2 * added(x)
"""
PRINTED = "print(doubled(3), sum(doubled.stats.cache_hits.values()))"


@pytest.fixture
def folder(tmp_path):
    """Two modules, in which one compiled function calls another."""
    (tmp_path / "callee.py").write_text(CALLEE)
    (tmp_path / "caller.py").write_text(CALLER)
    return tmp_path


def run(folder, program=PRINTED, **environment):
    """What a process prints that has imported the caller; nothing may go to standard error."""
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", f"from caller import doubled\n{program}"],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_a_function_is_compiled_again_if_a_function_that_it_calls_has_changed(folder):
    assert run(folder) == "8 0"
    assert run(folder) == "8 1", "kept, and found again"
    callee = folder / "callee.py"
    times = callee.stat()
    callee.write_text(CALLEE.replace("x + 1", "x + 5"))
    os.utime(callee, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert run(folder) == "16 0"
    callee.write_text(CALLEE)
    assert run(folder) == "8 1", "each state of the sources has its own files"
    assert run(folder, NUMBA_BOUNDSCHECK="1") == "8 0", "compiled with other settings"
    assert run(folder, NUMBA_NUM_THREADS="1") == "8 1", "the number of threads does not matter"


def test_damaged_files_are_replaced(folder):
    assert run(folder) == "8 0"
    indices, data = (sorted((folder / "__pycache__").glob(f"*.{ending}")) for ending in ("nbi", "nbc"))
    indices[0].write_bytes(b"")
    data[1].write_bytes(b"not compiled code")
    assert run(folder) == "8 0"
    assert run(folder) == "8 1"


def test_where_no_folder_can_be_written_functions_are_compiled_in_memory(folder):
    """A path below a regular file cannot be written even by root."""
    (folder / "__pycache__").write_text("a file, not a folder")
    nowhere = str(folder / "__pycache__" / "below")
    unwritable = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), nowhere)
    assert run(folder, **unwritable) == "8 0"
    assert sorted(p.name for p in folder.iterdir()) == ["__pycache__", "callee.py", "caller.py"]


def test_a_folder_that_can_no_longer_be_written_is_no_error(folder):
    """As with a disk that is full."""
    cache = folder / "cache"
    program = (
        f"import shutil, pathlib; place = pathlib.Path({str(cache)!r}); shutil.rmtree(place)\n"
        f"place.write_text('a file, not a folder')\n{PRINTED}"
    )
    assert run(folder, program, NUMBA_CACHE_DIR=str(cache)) == "8 0"


def test_compiled_functions_call_only_those_of_their_own_folder():
    """The sources of this folder decide whether what is kept is up to date."""
    root = Path(popeq.__file__).parent
    users = [path for path in root.rglob("*.py") if "@compiled(" in path.read_text(encoding="utf-8")]
    assert len(users) >= 8
    for path in users:
        own = ".".join(("popeq", *path.relative_to(root).parent.parts))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("popeq"):
                assert node.module in {"popeq.metrics._jit", "popeq.typing"} or (
                    node.module.rpartition(".")[0] == own
                ), (path, node.module)

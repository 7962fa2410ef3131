"""Compiled functions are kept on disk, are never out of date, and need no folder that can be written."""

import ast
import json
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


SERVER = """
import contextlib, io, json, os, sys, traceback
import numba, popeq.metrics._jit
for line in sys.stdin:
    folder, program, environment = json.loads(line)
    receiving, sending = os.pipe()
    if os.fork() == 0:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                sys.path.insert(0, folder)
                os.environ.update(environment)
                numba.core.config.reload_config()
                exec("from caller import doubled\\n" + program)
            except BaseException:
                traceback.print_exc()
        os.write(sending, printed.getvalue().encode())
        os._exit(0)
    os.close(sending)
    with open(receiving) as reading:
        print(json.dumps(reading.read()), flush=True)
    os.wait()
"""


@pytest.fixture(scope="module")
def server():
    """A process that has imported numba and compiled nothing; each program runs in a fork of it."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def run(folder, server):
    """A function that gives what a process prints, on either output, that has imported the caller."""

    def call(program=PRINTED, **environment):
        print(json.dumps([str(folder), program, environment]), file=server.stdin, flush=True)
        return json.loads(server.stdout.readline()).strip()

    return call


def test_a_function_is_compiled_again_if_a_function_that_it_calls_has_changed(folder, run):
    assert run() == "8 0"
    assert run() == "8 1", "kept, and found again"
    callee = folder / "callee.py"
    times = callee.stat()
    callee.write_text(CALLEE.replace("x + 1", "x + 5"))
    os.utime(callee, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert run() == "16 0"
    callee.write_text(CALLEE)
    assert run() == "8 1", "each state of the sources has its own files"
    assert run(NUMBA_BOUNDSCHECK="1") == "8 0", "compiled with other settings"
    assert run(NUMBA_NUM_THREADS="1") == "8 1", "the number of threads does not matter"


def test_damaged_files_are_replaced(folder, run):
    assert run() == "8 0"
    indices, data = (sorted((folder / "__pycache__").glob(f"*.{ending}")) for ending in ("nbi", "nbc"))
    indices[0].write_bytes(b"")
    data[1].write_bytes(b"not compiled code")
    assert run() == "8 0"
    assert run() == "8 1"


def test_where_no_folder_can_be_written_functions_are_compiled_in_memory(folder, run):
    """A path below a regular file cannot be written even by root."""
    (folder / "__pycache__").write_text("a file, not a folder")
    nowhere = str(folder / "__pycache__" / "below")
    unwritable = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), nowhere)
    assert run(**unwritable) == "8 0"
    assert sorted(p.name for p in folder.iterdir()) == ["__pycache__", "callee.py", "caller.py"]


def test_a_folder_that_can_no_longer_be_written_is_no_error(folder, run):
    """As with a disk that is full."""
    cache = folder / "cache"
    program = (
        f"import shutil, pathlib; place = pathlib.Path({str(cache)!r}); shutil.rmtree(place)\n"
        f"place.write_text('a file, not a folder')\n{PRINTED}"
    )
    assert run(program, NUMBA_CACHE_DIR=str(cache)) == "8 0"


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

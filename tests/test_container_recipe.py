"""The container of docs/containment.md, as far as it can be tested without an engine.

What it names has to be there and what it calls has to be understood; a run is drawn in namespaces of its own,
as the container's flags have it: no network, and a file system that is read-only but for two folders.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys

import click
import pytest

import popeq
from popeq.board.verify import examine
from popeq.cli import popeq as program
from popeq.runs.folder import find_runs
from tests.conftest import ROOT, environment, write_small_dataset

RECIPE = (ROOT / "docs" / "containment.md").read_text(encoding="utf-8").split("\n## A container\n")[1]
BLOCKS = dict(re.findall(r"```(\w+)\n(.*?)```", RECIPE.replace("\\\n", " "), re.DOTALL))
#: Everything but OUT and TMPDIR is read-only, and there is no network but a loopback that is down.
INSIDE = """
set -e
mount --make-rprivate /
mount --bind "$OUT" "$OUT"
mount --bind "$TMPDIR" "$TMPDIR"
mount -o remount,ro,bind /
cd "$TMPDIR"
! touch "$BESIDE" 2>/dev/null
exec "$@"
"""
STARTED = "from popeq.cli import main; main()"


def command(*beginning: str) -> list[str]:
    """The words of the recipe's command that begins with these."""
    lines = [shlex.split(line, comments=True) for line in BLOCKS["sh"].splitlines()]
    (found,) = [words for words in lines if words[: len(beginning)] == list(beginning)]
    return found


def inside() -> list[str]:
    """What runs in the container: the words after the image's name."""
    words = command("podman", "run")
    return words[words.index(command("podman", "build")[3]) + 1 :]


def test_the_containerfile_copies_and_installs_what_is_there():
    steps = [line.split(maxsplit=1) for line in BLOCKS["dockerfile"].splitlines()]
    assert [step for step, _ in steps] == ["FROM", "COPY", "RUN", "COPY", "RUN", "WORKDIR"]
    assert re.search(r"python:3\.(1[1-9])-slim$", steps[0][1])
    copied = [words.split() for step, words in steps if step == "COPY"]
    installs = [shlex.split(words) for step, words in steps if step == "RUN"]
    assert copied == [["popeq", "/src/popeq"], ["plugin", "/src/plugin"]]
    assert [words[-1] for words in installs] == ["/src/popeq", "/src/plugin"]
    (before,) = {tuple(words[:-1]) for words in installs}
    assert before[:4] == ("python", "-m", "pip", "install")
    assert (ROOT / before[-1].removeprefix("/src/popeq/")).is_file()
    done = subprocess.run([sys.executable, *before[1:], "--help"], capture_output=True, text=True, check=True)
    assert all(word in done.stdout for word in before[4:] if word.startswith("-"))


def test_the_container_has_no_network_no_rights_and_one_folder():
    words = command("podman", "run")
    flags = words[: words.index("popeq-third-party")]
    pairs = dict(itertools.pairwise(flags))
    assert {"--rm", "--read-only"} <= set(flags)
    assert pairs["--network"] == "none"
    assert pairs["--cap-drop"] == "all"
    assert pairs["--security-opt"] == "no-new-privileges"
    assert {"--pids-limit", "--memory", "--cpus", "--user"} <= set(pairs)
    assert flags.count("-v") == 1
    assert pairs["-v"].endswith(f":{inside()[-1]}")


@pytest.mark.parametrize("words", [inside(), command("popeq", "verify")], ids=lambda words: words[1])
def test_popeq_understands_the_words_that_it_is_given(words):
    with click.Context(program, info_name="popeq") as context:
        name, subcommand, rest = program.resolve_command(context, words[1:])
        assert subcommand.make_context(name, list(rest), parent=context)


def test_a_run_is_drawn_without_network_on_a_read_only_file_system(tmp_path):
    folders = {name: tmp_path / name for name in ("out", "tmp", "data")}
    for folder in folders.values():
        folder.mkdir()
    write_small_dataset(folders["data"])
    out, tmp, data = (str(folder) for folder in folders.values())
    env = environment({"OUT": out, "TMPDIR": tmp, "HOME": tmp, "BESIDE": str(tmp_path / "beside")})
    unshare = ["unshare", "--mount", "--net"]
    allowed = sys.platform == "linux" and os.getuid() == 0 and shutil.which("unshare")
    if not allowed or subprocess.run([*unshare, "mount", "--make-rprivate", "/"]).returncode != 0:
        pytest.skip("needs Linux, root and the right to make namespaces")
    put = {"NAME": "prior", "simulated-120": data, "/out": out}
    words = [put.get(word, word) for word in inside()]
    done = subprocess.run(
        [*unshare, "sh", "-c", INSIDE, "sh", sys.executable, "-c", STARTED, *words[1:]],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "beside").exists()
    (run,) = find_runs(folders["out"])[0]
    assert examine(run, popeq.load_dataset(folders["data"])).problems == ()

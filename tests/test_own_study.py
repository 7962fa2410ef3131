"""docs/bring-your-own-study.md followed word for word, on simulated answers of 9 listeners to 40 prompts."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from scipy import signal

from popeq import eq
from popeq.dataset_folder import read_dataset
from tests.conftest import ROOT
from tests.pages import blocks

WORDS = ("warm", "bright", "boomy", "thin", "clear", "muffled", "harsh", "soft")
THINGS = ("singer", "drums", "mix", "room", "record")
LISTENERS = ("anna", "ben", "cem", "dora", "eve", "finn", "gül", "hugo", "ida")
RNG = np.random.default_rng(20)
CENTRES = {word: RNG.uniform(-8, 8, 3) for word in WORDS}


def page() -> str:
    return (ROOT / "docs" / "bring-your-own-study.md").read_text(encoding="utf-8")


def chapter(title: str) -> tuple[dict[str, str], list[str]]:
    """The beginnings of files that a chapter shows, with the prompts', and its commands."""
    text = page()
    found = [
        *blocks(text.split("\n## ")[0] + "\n"),
        *blocks(text.split(f"\n## {title}\n")[1].split("\n## ")[0] + "\n"),
    ]
    files = {block.file: block.text for block in found if block.kind == "text"}
    commands = [line for block in found if block.kind == "sh" for line in block.text.splitlines()]
    return files, commands


def write_files(files, where, bands: bool) -> None:
    """The files whose beginnings the page shows, continued: 40 prompts, 9 simulated listeners."""
    prompts = files["prompts.csv"]
    for i, (word, thing) in enumerate((w, t) for w in WORDS for t in THINGS):
        if f"p{i:02d}," not in prompts:
            prompts += f"p{i:02d},make the {thing} {word},descriptor,{'test' if i % 5 == 4 else 'train'}\n"
    (where / "prompts.csv").write_text(prompts, encoding="utf-8")
    name = "settings.csv" if bands else "responses.csv"
    answers = files[name]
    for i, word in enumerate(w for w in WORDS for _ in THINGS):
        for listener in LISTENERS:
            chosen = CENTRES[word][: 3 if bands else 2] + RNG.normal(0, 2, 3 if bands else 2)
            values = np.clip(np.round(chosen * 2) / 2, *((-8, 8) if bands else (-12, 12)))
            if f"p{i:02d},{listener}," not in answers:
                answers += f"p{i:02d},{listener},{','.join(f'{v:g}' for v in values)}\n"
    (where / name).write_text(answers, encoding="utf-8")
    soundfile.write(where / "song.wav", RNG.normal(0, 0.05, 110_250), 44_100)


def test_the_page_can_be_tried_without_a_study(popeq_inside, tmp_path):
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    commands = chapter("Without a study")[1]
    assert len(commands) == 2
    env = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    for command in commands:
        subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, check=True)
    sound, rate_hz = soundfile.read(tmp_path / "song.wav")
    assert (len(sound), rate_hz) == (8 * 48_000, 48_000)
    first = chapter("A box of two knobs, +-12 dB")[1][0]
    assert first.startswith("popeq data import csv")
    assert popeq_inside(*shlex.split(first)[1:], "--simulated").returncode == 0
    assert read_dataset(tmp_path / "my-study").card.simulated


@pytest.mark.parametrize(
    ("title", "bands"), [("A box of two knobs, +-12 dB", False), ("Bass, mid and treble", True)]
)
def test_a_study_becomes_a_board_a_site_an_answer_a_sound_and_a_listening_test(
    popeq_inside, tmp_path, title, bands
):
    files, commands = chapter(title)
    assert len(commands) <= 6
    write_files(files, tmp_path, bands)
    said = {}
    for command in commands:
        name, *arguments = shlex.split(command)
        assert name == "popeq"
        result = popeq_inside(*arguments)
        assert result.returncode == 0, (command, result.stderr)
        said[" ".join(arguments[: 1 + (arguments[0] in ("data", "leaderboard", "listening-test"))])] = result

    data = read_dataset(tmp_path / "my-study")
    assert (len(data.prompts), data.responses["listener_id"].nunique()) == (40, 9)
    assert (data.space.x_low_db, data.space.x_high_db, data.space.step_db) == (-12, 12, 0.5)
    first = data.points("p00")[0]  # anna's
    if bands:
        assert "variance" in said["data import"].stdout
        assert first[1] < -3  # more bass than treble
    else:
        assert first.tolist() == [3.5, -7.0]

    assert "kernel-mixture" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    recommended = re.search(r"smile ([+-][\d.]+) dB, tilt ([+-][\d.]+) dB", said["ask"].stdout)
    point = np.array([float(v) for v in recommended.groups()])
    assert data.space.contains(point)
    np.testing.assert_allclose(point * 2, np.rint(point * 2))  # the knobs have steps of half a dB
    assert "Filter 1: ON" in (tmp_path / "popeq.txt").read_text(encoding="utf-8")
    assert (tmp_path / "warm.png").stat().st_size > 10_000

    source, rate = soundfile.read(tmp_path / "song.wav")
    made, _ = soundfile.read(tmp_path / "warm.wav")
    frequency, powers = signal.welch(np.stack([source, made]), rate, nperseg=8192)
    change = 10 * np.log10(powers[1] / powers[0])
    hz = np.array([60.0, 250.0, 1000.0, 4000.0, 12_000.0])
    heard = np.interp(hz, frequency, change)
    wanted = eq.gain_db(point, hz, data.space)
    np.testing.assert_allclose(heard - heard.mean(), wanted - wanted.mean(), atol=0.5)

    (config,) = (tmp_path / "test" / "webmushra" / "configs").glob("*.yaml")
    assert len(yaml.safe_load(config.read_text(encoding="utf-8"))["pages"][2]) == 1 + 3

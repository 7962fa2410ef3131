"""Make a listening test from runs: its sounds, equally loud and none clipped, and its plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from popeq import api
from popeq.atomic import new_folder
from popeq.contract import LabelledPrompt
from popeq.dataset import Dataset
from popeq.errors import UnknownNameError, UsageError
from popeq.runs.folder import Run
from popeq.seeding import generator
from popeq.typing import Floats
from popeq_audio.checks import need
from popeq_audio.files import read_start
from popeq_audio.filtering import Convolver, filter_taps, minimum_phase
from popeq_audio.listening.plan import REFERENCE, Condition, Plan, Trial
from popeq_audio.listening.settings import DEFAULT_TEST, Kind, ListeningTestSettings
from popeq_audio.listening.webmushra import RESOURCES, configuration
from popeq_audio.modes import find_modes
from popeq_audio.rendering import CEILING_DBTP, levels

ANCHOR_HZ, ANCHOR_STOP_HZ, ANCHOR_STOP_DB = 3500.0, 4000.0, -60.0
_FADE_S = 0.02


def read_excerpt(path: Path, seconds: float) -> tuple[Floats, int]:
    """The first seconds of a file, (n, channels), with short fades, and its rate.

    Raises UsageError if it cannot be read or is too short to have a loudness.
    """
    sound, rate = read_start(path, seconds)
    if len(sound) < 0.5 * rate:
        raise UsageError(f"{path}: is shorter than half a second")
    fade = round(_FADE_S * rate)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
    sound[:fade] *= ramp[:, None]
    sound[-fade:] *= ramp[::-1, None]
    return sound, rate


def with_setting(sound: Floats, rate_hz: int, point: tuple[float, float]) -> Floats:
    """The sound with a setting's curve."""
    return _convolved(sound, filter_taps(point, rate_hz))


def anchor(sound: Floats, rate_hz: int) -> Floats:
    """The low anchor of ITU-R BS.1534: low-passed at 3.5 kHz."""

    def gain_db(frequency_hz: Floats) -> Floats:
        return np.interp(frequency_hz, [ANCHOR_HZ, ANCHOR_STOP_HZ], [0.0, ANCHOR_STOP_DB])

    return _convolved(sound, minimum_phase(gain_db, rate_hz))


def _convolved(sound: Floats, taps: Floats) -> Floats:
    convolver = Convolver(taps, sound.shape[1])
    return np.concatenate([convolver.process(sound), convolver.flush()])


def equally_loud(
    sounds: Mapping[str, Floats], rate_hz: int, wanted_lufs: float
) -> tuple[dict[str, Floats], float]:
    """The sounds at one loudness: that which is wanted, or as much lower as the worst of them needs in order
    to stay under the ceiling. Raises UsageError for silence."""
    measured = {name: levels(sound, rate_hz) for name, sound in sounds.items()}
    for name, own in measured.items():
        if not math.isfinite(own.loudness_lufs):
            raise UsageError(f"{name}: is too quiet to have a loudness")
    highest = min(CEILING_DBTP - own.true_peak_dbtp + own.loudness_lufs for own in measured.values())
    target = min(wanted_lufs, highest)
    made = {n: s * 10.0 ** ((target - measured[n].loudness_lufs) / 20.0) for n, s in sounds.items()}
    return made, target


def write(sound: Floats, rate_hz: int, path: Path) -> None:
    """As a 16-bit WAV file, which every browser decodes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    need("soundfile", "audio").write(path, sound, rate_hz, subtype="PCM_16")


Point = tuple[float, float]
#: What a trial compares: a method, its setting, and its score on the prompt.
Offer = tuple[str, Point, float | None]


def choose_prompts(dataset: Dataset, asked: Sequence[str], test: ListeningTestSettings) -> list[str]:
    """Those that were asked for, or ``test.prompts`` random test prompts.

    Raises UnknownNameError for one that is not tested.
    """
    ids = dataset.test_ids
    for prompt_id in asked:
        if prompt_id not in ids:
            raise UnknownNameError(f"test prompt of {dataset.name}", prompt_id, ids)
    if asked:
        return list(dict.fromkeys(asked))
    rng = generator(test.seed, "listening test", "prompts")
    return [ids[i] for i in sorted(rng.choice(len(ids), min(test.prompts, len(ids)), replace=False))]


def make_test(
    runs: Sequence[Run],
    tracks: Sequence[Path],
    folder: Path,
    *,
    settings: Sequence[Point] = (),
    prompts: Sequence[str] = (),
    dataset: Dataset | None = None,
    test: ListeningTestSettings = DEFAULT_TEST,
) -> Plan:
    """Write a folder: ``plan.json``, and ``webmushra/configs`` to copy into a webMUSHRA installation.

    Each prompt is presented with one of the tracks, in turn. A run's sound is the setting that ``popeq
    ask`` would recommend from its samples; the reference is the middle of the largest mode of the prompt's
    listeners. Names of sounds are assigned anew in every trial.

    Parameters
    ----------
    settings
        Settings (x, y) in dB that are compared as well.
    prompts
        Ids of test prompts; without any, ``test.prompts`` are chosen at random.
    dataset
        By default that of the runs.

    Raises
    ------
    UsageError
        For runs of different data, fewer than two things to compare, tracks that cannot be read, or a folder
        that is not empty.
    """
    if len(runs) + len(settings) < (1 if test.kind == "mushra" else 2):
        raise UsageError("a listening test needs something to compare: RUNs, or settings with --at")
    if not tracks:
        raise UsageError("a listening test needs at least one --track")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: already exists; give -o a new folder, or remove that one first")
    loaded = _dataset(runs, dataset)
    chosen = choose_prompts(loaded, prompts, test)
    scores = [api.score(run, loaded).set_index("prompt_id")["reflective_kantorovich"] for run in runs]
    excerpts = [read_excerpt(path, test.seconds) for path in tracks]
    trials = []
    with new_folder(folder) as temporary:
        sounds = temporary / "webmushra" / RESOURCES / "sounds"  # until the plan has its id
        for number, prompt_id in enumerate(chosen):
            found: list[Offer] = [
                (run.record.run_id, _recommended(run, prompt_id, loaded), float(score[prompt_id]))
                for run, score in zip(runs, scores, strict=True)
            ]
            found += [(f"at {x:g},{y:g}", (x, y), None) for x, y in settings]
            trial_id, track = f"trial{number + 1:03d}", number % len(tracks)
            order = generator(test.seed, "listening test", "order", trial_id).permutation(len(found) + 1)
            offers = [(*found, None)[i] for i in order]  # None is the anchor
            (labelled,) = loaded.labelled([prompt_id])
            reference = find_modes(labelled.responses, loaded.space)[0].medoid
            trial, made = _trial(labelled, reference, offers, excerpts[track], test.kind)
            for name, sound in made.items():
                write(sound, excerpts[track][1], sounds / trial_id / f"{name}.wav")
            trials.append(trial.model_copy(update={"trial_id": trial_id, "track": tracks[track].stem}))
        plan = Plan(
            test_id=test.name,
            kind=test.kind,
            dataset=loaded.name,
            revision=loaded.revision,
            simulated=loaded.card.simulated,
            seed=test.seed,
            trials=trials,
        ).identified()
        plan.write(temporary)
        sounds.rename(sounds.with_name(plan.plan_id))
        configs = temporary / "webmushra" / "configs"
        (configs / f"{plan.plan_id}.yaml").write_text(configuration(plan), encoding="utf-8")
    return plan


def _dataset(runs: Sequence[Run], dataset: Dataset | None) -> Dataset:
    names = {(r.record.dataset.name, r.record.dataset.revision) for r in runs}
    if len(names) > 1:
        raise UsageError(f"the runs are of different data: {', '.join(sorted(n for n, _ in names))}")
    for run in runs:
        if run.record.status != "complete":
            raise UsageError(f"{run.folder}: is {run.record.status}; a listening test needs complete runs")
    if dataset is not None:
        return dataset
    return api.load_dataset(runs[0].record.dataset.given) if runs else api.load_dataset()


def _recommended(run: Run, prompt_id: str, dataset: Dataset) -> Point:
    samples = run.samples(dataset.test_ids)[dataset.test_ids.index(prompt_id)]
    return find_modes(samples, dataset.space)[0].medoid


def _trial(
    labelled: LabelledPrompt,
    reference: Point,
    offers: Sequence[Offer | None],
    excerpt: tuple[Floats, int],
    kind: Kind,
) -> tuple[Trial, dict[str, Floats]]:
    """One trial, without its id and track, and its sounds by name; of ``offers``, None is the anchor."""
    sound, rate = excerpt
    responses = labelled.responses
    conditions = []
    sounds = {REFERENCE: with_setting(sound, rate, reference)}
    for place, offer in enumerate(offers, 1):
        name = f"sound{place}"
        if offer is not None:
            method, (x, y), score = offer
            sounds[name] = with_setting(sound, rate, (x, y))
            distance = float(np.linalg.norm(responses - (x, y), axis=1).mean())
            conditions.append(
                Condition(
                    name=name, method=method, x_db=x, y_db=y, kantorovich=score, setting_distance=distance
                )
            )
        elif kind == "mushra":
            sounds[name] = anchor(sound, rate)
            conditions.append(Condition(name=name, method="anchor"))
    made, lufs = equally_loud(sounds, rate, levels(sound, rate).loudness_lufs)
    trial = Trial(
        trial_id="",
        prompt_id=labelled.prompt.prompt_id,
        text=labelled.prompt.text,
        track="",
        reference_x_db=reference[0],
        reference_y_db=reference[1],
        loudness_lufs=lufs,
        conditions=conditions,
    )
    return trial, made

"""Make a listening test from runs: its sounds, equally loud and none clipped, and its plan."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from popeq import api
from popeq.atomic import new_folder
from popeq.dataset import Dataset
from popeq.errors import UnknownNameError, UsageError
from popeq.runs.folder import Run
from popeq.seeding import generator
from popeq.space import Space
from popeq.typing import Floats
from popeq_audio.files import blocks, open_audio, write_sound
from popeq_audio.filtering import convolve, filter_taps, minimum_phase
from popeq_audio.layout import channel_mask
from popeq_audio.listening.plan import REFERENCE, Condition, Kind, Plan, Trial
from popeq_audio.listening.webmushra import RESOURCES, configuration
from popeq_audio.loudness import measure
from popeq_audio.modes import find_modes
from popeq_audio.rendering import CEILING_DBTP
from popeq_audio.settings import check_settings

ANCHOR_HZ, ANCHOR_STOP_HZ, ANCHOR_STOP_DB = 3500.0, 4000.0, -60.0
_FADE_S = 0.02

Point = tuple[float, float]


@dataclass(frozen=True)
class ListeningSettings:
    """What a listening test is made with, beside runs and tracks.

    Parameters
    ----------
    kind
        ``mushra``: sounds are rated beside a reference that is hidden among them, with an anchor;
        ``preference``: they are rated by fit alone.
    points
        Settings (x, y), dB, in the box of the data set, that are compared with those of the runs.
    prompts
        Ids of the test prompts that are asked; without any, ``count`` random ones.
    count
        Number of prompts, if ``prompts`` names none.
    seconds
        Length of the sounds, s.
    seed
        Of the choice of prompts and of the order of sounds.
    test_id
        Name of the test, with which its id begins.
    """

    kind: Kind = "mushra"
    points: tuple[Point, ...] = ()
    prompts: tuple[str, ...] = ()
    count: int = 10
    seconds: float = 10.0
    seed: int = 0
    test_id: str = "popeq"


@dataclass(frozen=True, eq=False)
class Excerpt:
    """The beginning of a track, (n, channels), its loudness, LUFS, and the speakers of more than two channels
    (``popeq_audio.layout.channel_mask``)."""

    track: str
    sound: Floats
    rate_hz: int
    loudness_lufs: float
    mask: int | None

    def with_setting(self, point: Point, space: Space) -> Floats:
        """The sound with the curve of a setting of ``space``, (n, channels)."""
        return self._filtered(filter_taps(point, self.rate_hz, space))

    def anchor(self) -> Floats:
        """The low anchor of ITU-R BS.1534: low-passed at 3.5 kHz, (n, channels)."""

        def gain_db(frequency_hz: Floats) -> Floats:
            return np.interp(frequency_hz, [ANCHOR_HZ, ANCHOR_STOP_HZ], [0.0, ANCHOR_STOP_DB])

        return self._filtered(minimum_phase(gain_db, self.rate_hz))

    def _filtered(self, taps: Floats) -> Floats:
        return np.concatenate(list(convolve([self.sound], taps, self.sound.shape[1])))


def read_excerpt(path: Path, seconds: float) -> Excerpt:
    """The first seconds of a file with short fades; a mono file becomes two equal channels, because webMUSHRA
    plays it on the left only.

    Raises UsageError if it cannot be read or is too short to have a loudness.
    """
    with open_audio(path) as source:
        rate = source.samplerate
        sound = next(blocks(source, int(seconds * rate)), np.zeros((0, source.channels)))
        mask = channel_mask(source) if source.channels > 2 else None
    if len(sound) < 0.5 * rate:
        raise UsageError(f"{path}: is shorter than half a second")
    fade = round(_FADE_S * rate)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
    sound[:fade] *= ramp[:, None]
    sound[-fade:] *= ramp[::-1, None]
    if sound.shape[1] == 1:
        sound = np.repeat(sound, 2, axis=1)
    return Excerpt(path.stem, sound, rate, measure([sound], rate, sound.shape[1]).loudness_lufs, mask)


def equally_loud(
    sounds: Mapping[str, Floats], rate_hz: int, wanted_lufs: float
) -> tuple[dict[str, Floats], float]:
    """The sounds at one loudness: that which is wanted, or as much lower as the worst of them needs in order
    to stay under the ceiling. Raises UsageError for silence."""
    measured = {name: measure([sound], rate_hz, sound.shape[1]) for name, sound in sounds.items()}
    for name, levels in measured.items():
        if not math.isfinite(levels.loudness_lufs):
            raise UsageError(f"{name}: is too quiet to have a loudness")
    highest = min(CEILING_DBTP - m.true_peak_dbtp + m.loudness_lufs for m in measured.values())
    target = min(wanted_lufs, highest)
    made = {name: s * 10.0 ** ((target - measured[name].loudness_lufs) / 20.0) for name, s in sounds.items()}
    return made, target


def choose_prompts(dataset: Dataset, settings: ListeningSettings) -> list[str]:
    """Those that the settings name, or ``count`` random test prompts.

    Raises UnknownNameError for one that is not tested.
    """
    ids = dataset.test_ids
    for prompt_id in settings.prompts:
        if prompt_id not in ids:
            raise UnknownNameError(f"test prompt of {dataset.name}", prompt_id, ids)
    if settings.prompts:
        return list(dict.fromkeys(settings.prompts))
    rng = generator(settings.seed, "listening test", "prompts")
    chosen = rng.choice(len(ids), min(settings.count, len(ids)), replace=False)
    return [ids[i] for i in sorted(chosen)]


def make_test(
    runs: Sequence[Run],
    tracks: Sequence[Path],
    folder: Path,
    settings: ListeningSettings,
    dataset: Dataset | None = None,
) -> Plan:
    """Write a folder: ``plan.json``, and ``webmushra/configs`` to copy into a webMUSHRA installation.

    Each prompt is presented with one of the tracks, in turn. A run's sound is the setting that ``popeq
    ask`` would recommend from its samples; the reference is the middle of the largest mode of the prompt's
    listeners. Names of sounds are drawn at random in every trial. ``dataset`` is by default that of the runs.

    Raises
    ------
    UsageError
        For runs of different data, fewer than two things to compare, settings outside the box, tracks that
        cannot be read, or a folder that is not empty.
    """
    if len(runs) + len(settings.points) < (1 if settings.kind == "mushra" else 2):
        raise UsageError("a listening test needs something to compare: RUNs, or settings with --at")
    if not tracks:
        raise UsageError("a listening test needs at least one --track")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: already exists; give -o a new folder, or remove that one first")
    loaded = _dataset(runs, dataset)
    check_settings(settings.points, loaded.space, loaded.name)
    chosen = choose_prompts(loaded, settings)
    scores = [api.score(run, loaded).set_index("prompt_id")["reflective_kantorovich"] for run in runs]
    samples = [run.samples(loaded.test_ids, loaded.space) for run in runs]
    excerpts = [read_excerpt(path, settings.seconds) for path in tracks]
    trials = []
    with new_folder(folder) as temporary:
        sounds = temporary / "webmushra" / RESOURCES / "sounds"  # until the plan has its id
        for number, prompt_id in enumerate(chosen):
            place = loaded.test_ids.index(prompt_id)
            compared = []
            for run, drawn, score in zip(runs, samples, scores, strict=True):
                medoid = find_modes(drawn[place], loaded.space)[0].medoid
                x, y = loaded.space.nearest(medoid).tolist()  # as 'popeq ask' recommends
                compared.append(_condition(loaded, prompt_id, run.record.run_id, (x, y), score[prompt_id]))
            compared += [_condition(loaded, prompt_id, f"at {x:g},{y:g}", (x, y)) for x, y in settings.points]
            trial_id, excerpt = f"trial{number + 1:03d}", excerpts[number % len(tracks)]
            trial, made = _trial(trial_id, prompt_id, loaded, compared, excerpt, settings)
            trials.append(trial)
            (sounds / trial_id).mkdir(parents=True)
            for name, sound in made.items():
                write_sound(sounds / trial_id / f"{name}.wav", sound, excerpt.rate_hz, excerpt.mask)
        plan = Plan(
            test_id=settings.test_id,
            kind=settings.kind,
            dataset=loaded.name,
            revision=loaded.revision,
            simulated=loaded.card.simulated,
            space=loaded.card.space,
            seed=settings.seed,
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


def _condition(
    dataset: Dataset, prompt_id: str, method: str, point: Point, kantorovich: float | None = None
) -> Condition:
    """A setting that is compared; it gets its name in the trial."""
    distances = np.linalg.norm(dataset.points(prompt_id) - np.array(point), axis=1)
    return Condition(
        name="",
        method=method,
        x_db=point[0],
        y_db=point[1],
        kantorovich=kantorovich,
        setting_distance=float(distances.mean()),
    )


def _digest(sounds: Mapping[str, Floats]) -> str:
    """SHA-256 (hex) of sounds (n, channels) with their names, as 16-bit files have them."""
    digest = hashlib.sha256()
    for name, sound in sorted(sounds.items()):
        digest.update(f"{name} {sound.shape} ".encode() + np.round(sound * 32767.0).astype("<i2").tobytes())
    return digest.hexdigest()


def _trial(
    trial_id: str,
    prompt_id: str,
    dataset: Dataset,
    compared: Sequence[Condition],
    excerpt: Excerpt,
    settings: ListeningSettings,
) -> tuple[Trial, dict[str, Floats]]:
    """One trial, and its sounds by their names."""
    x, y = find_modes(dataset.points(prompt_id), dataset.space)[0].medoid
    sounds = {REFERENCE: excerpt.with_setting((x, y), dataset.space)}
    candidates = [*compared, Condition(name="", method="anchor")]
    order = generator(settings.seed, "listening test", "order", trial_id).permutation(len(candidates))
    conditions = []
    for place, i in enumerate(order, 1):
        condition = candidates[i].model_copy(update={"name": f"sound{place}"})
        if condition.x_db is not None and condition.y_db is not None:
            sounds[condition.name] = excerpt.with_setting((condition.x_db, condition.y_db), dataset.space)
        elif settings.kind == "mushra":
            sounds[condition.name] = excerpt.anchor()
        else:
            continue
        conditions.append(condition)
    made, lufs = equally_loud(sounds, excerpt.rate_hz, excerpt.loudness_lufs)
    trial = Trial(
        trial_id=trial_id,
        prompt_id=prompt_id,
        text=dataset.unlabelled([prompt_id])[0].text,
        track=excerpt.track,
        reference_x_db=x,
        reference_y_db=y,
        loudness_lufs=lufs,
        sounds_sha256=_digest(made),
        conditions=conditions,
    )
    return trial, made

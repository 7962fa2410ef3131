"""Reference lines: the training responses, what the generator of a simulated data set knows of the words, and
expected scores of a perfect predictor and of a fresh panel.

A score against few listeners is never 0, not even for the population itself. The distance of two halves of a
prompt's listeners can be measured (``popeq.board.split_half``). Its ratio to the distance of larger groups is
taken from pseudo-populations, one for each prompt, in which both distances can be drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from popeq.board import kept_scores
from popeq.board.scoring import ReferenceLine, Scorer
from popeq.board.split_half import DISTANCES, pseudo_distances, pseudo_panels, split_half
from popeq.contract import load_object
from popeq.errors import RunError
from popeq.metrics import SCORES, Target
from popeq.metrics.scores import PromptScores, mean_distance
from popeq.plugins import registry
from popeq.runs.code import code_of
from popeq.typing import Floats

PANEL_SIZE = 11
#: Two disjoint halves of two listeners each are the least that says how far groups are apart.
LEAST_LISTENERS = 4
REFERENCE, KNOWN = "training responses", "knows the words"
PERFECT, FRESH = "perfect predictor", f"fresh panel of {PANEL_SIZE}"
ESTIMATED = "estimated from disjoint halves of the listeners"


def training_responses(scorer: Scorer, targets: Sequence[Target] | None = None) -> ReferenceLine:
    """The scores by prompt of the pooled training responses, the same for every sentence of a stage: what
    every method must beat.

    They are the distribution that a method has before it reads the sentence: of each prompt's own stage, so
    that with folds no tested prompt is among them. Nothing is drawn, so they do not depend on a seed or on
    which runs there are. They have no ``sample_kantorovich``. ``targets`` are other listeners of the
    scorer's prompts, to be scored against instead of its own.
    """
    by_id = dict(zip(scorer.prompt_ids, targets or scorer.targets, strict=True))
    found: dict[str, PromptScores] = {}
    for stage in scorer.dataset.stages:
        tested = [p for p in stage.test if p in by_id]
        if tested:
            pool = scorer.dataset.pooled(stage.train)
            predicted, inner = by_id[tested[0]].densities_of(pool), mean_distance(pool)
            found |= {p: by_id[p].score_of(predicted, pool, inner) for p in tested}
    scored = [found[p] for p in scorer.prompt_ids]
    return _line_of(scored, REFERENCE, "all of them, whatever the sentence; not drawn")


def _line_of(scored: Sequence[PromptScores], name: str, how: str) -> ReferenceLine:
    """The line of scores that were computed, one for each prompt."""
    return ReferenceLine(
        name,
        how,
        {score: np.array([s.values[score] for s in scored]) for score in scored[0].values},
        {score: [s.influence[score] for s in scored] for score in scored[0].influence},
    )


def known_line(scorer: Scorer, *, jobs: int = 1, keep: bool = False) -> ReferenceLine | None:
    """The scores of draws from the population that the generator has for each prompt's words, whatever the
    rest of its sentence; None where no generator is known.

    The generator is the ``DatasetSpec.known`` of the installed plugin whose data set lies in this folder. It
    is never named by a file of the data set, which may be anybody's.

    Raises
    ------
    RunError
        If the generator fails, or does not give points as ``DatasetSpec`` asks for them.
    """
    reference = _generator_of(scorer)
    if reference is None:
        return None
    code = code_of([reference.partition(":")[0]]).sha256
    place = kept_scores.place_of(f"reference line: drawn by {reference}, code {code}", scorer)
    found = kept_scores.read(place, scorer, SCORES) if keep else None
    if found is None:
        table = scorer.score(_drawn(reference, scorer), jobs)
        found = kept_scores.Numbers({name: table.scores(name) for name in SCORES}, table.influence, [])
        if keep:
            kept_scores.write(place, found)
    how = "drawn from the generator's population of each prompt's concept"
    return ReferenceLine(KNOWN, how, found.scores, found.influence)


def _generator_of(scorer: Scorer) -> str | None:
    """What draws for the words of a data set, as its plugin names it; None if no plugin does, or only a group
    of the listeners is tested, because it draws from all."""
    folder = scorer.dataset.folder
    if folder is None or scorer.dataset.group:
        return None
    specs = [spec for spec in registry().datasets.values() if spec.known]
    return next((spec.known for spec in specs if spec.path.resolve() == folder.resolve()), None)


def _drawn(reference: str, scorer: Scorer) -> Floats:
    """Draws of a generator, (P, n_samples, 2) dB, checked; RunError if they are something else."""
    shape = (len(scorer.prompt_ids), scorer.protocol.n_samples, 2)
    try:
        found = np.asarray(load_object(reference)(scorer.prompt_ids, shape[1], 0), dtype=np.float64)
    except Exception as error:
        said = " ".join(str(error).split())
        raise RunError(
            f"{reference}, generator of {scorer.dataset.name}: {type(error).__name__}: {said}"
        ) from error
    if found.shape != shape or not scorer.dataset.space.contains(found).all():
        raise RunError(
            f"{reference}, generator of {scorer.dataset.name}: gave points of shape {found.shape}; needs "
            f"{shape}, finite and inside the space"
        )
    return found


def perfect_line(scorer: Scorer, *, jobs: int = 1, keep: bool = False) -> ReferenceLine | None:
    """The line of the perfect predictor, as in ``reference_lines``; None if it cannot be estimated."""
    return _estimated(scorer, PERFECT, scorer.protocol.n_samples, jobs, keep)


def reference_lines(scorer: Scorer, *, jobs: int = 1, keep: bool = False) -> list[ReferenceLine]:
    """What knows the words, where the generator is known, the perfect predictor, and the fresh panel of 11.

    The last two are for the density distances. The fresh panel is measured where the data set brings a second
    panel. What would be estimated is missing where prompts have fewer than four listeners, because then there
    are no two disjoint groups. Prompts are measured in ``jobs`` processes. With ``keep``, lines that the same
    code computed here before are read, except a fresh panel that is measured.
    """
    other = scorer.second_panel
    if other is None:
        fresh = _estimated(scorer, FRESH, PANEL_SIZE, jobs, keep)
    else:
        drawn = [p.responses for p in other.tested(scorer.prompt_ids)]
        scored = [t.score(points) for t, points in zip(scorer.targets, drawn, strict=True)]
        how = f"measured with {other.card.label}, revision {other.revision[:12]}"
        fresh = _line_of(scored, FRESH, how)
    lines = known_line(scorer, jobs=jobs, keep=keep), perfect_line(scorer, jobs=jobs, keep=keep), fresh
    return [line for line in lines if line]


def _estimated(scorer: Scorer, name: str, drawn: int, jobs: int, keep: bool) -> ReferenceLine | None:
    """An estimated line, or with ``keep`` the one that is kept; None with too few listeners."""
    if scorer.panels.sizes.min() < LEAST_LISTENERS:
        return None
    place = kept_scores.place_of(f"reference line: {drawn} drawn, {pseudo_panels()}", scorer)
    found = kept_scores.read(place, scorer, DISTANCES) if keep else None
    if found is not None:
        return ReferenceLine(name, ESTIMATED, found.scores, found.influence, True)
    line = estimated_line(scorer, name, drawn, jobs=jobs)
    if keep:
        kept_scores.write(place, kept_scores.Numbers(line.scores, line.influence, []))
    return line


def estimated_line(
    scorer: Scorer, name: str, drawn: int, panel: int | None = None, *, jobs: int = 1
) -> ReferenceLine:
    """Expected scores of ``drawn`` points of the population against ``panel`` other listeners of it.

    Parameters
    ----------
    panel
        Size of the panel that is scored against; by default that of each prompt.

    Notes
    -----
    ``E W1(drawn, panel) = E W1(half, half) * ratio``: the first factor is measured without bias on disjoint
    halves of each prompt's listeners, and carries the spread. The ratio is that of the same two distances in
    pseudo-populations; it does not depend on the scale, and little on the shape. By simulation with known
    populations the mean line was within 5 % of the truth at 11 listeners, and up to 14 % under at 5
    (docs/boards.md).
    """
    halves = split_half(scorer, jobs)
    wanted = pseudo_distances(scorer, drawn, panel, jobs)
    half = pseudo_distances(scorer, None, None, jobs)
    sizes = scorer.panels.sizes
    ratios = {key: _smoothed(sizes, wanted[:, i], half[:, i]) for i, key in enumerate(DISTANCES)}
    return ReferenceLine(
        name,
        ESTIMATED,
        {key: halves.scores[key] * ratios[key] for key in DISTANCES},
        {
            key: [effect * ratio for effect, ratio in zip(halves.influence[key], ratios[key], strict=True)]
            for key in DISTANCES
        },
        True,
    )


def _smoothed(sizes: NDArray[np.int64], wanted: Floats, half: Floats) -> Floats:
    """Ratio of wanted to half distances by prompt: one value for each panel size if they are few, else a
    parabola in the logarithm of the size, because a single prompt's ratio is mostly noise."""
    known = half > 0
    if not known.any():
        return np.ones(len(sizes))
    distinct = np.unique(sizes[known])
    if len(distinct) == 1:
        return np.full(len(sizes), wanted[known].sum() / half[known].sum())
    x = np.log(sizes)
    logs = np.log(np.maximum(wanted[known], 1e-12) / half[known])
    degree = min(2, len(distinct) - 1)
    return np.exp(np.polyval(np.polyfit(x[known] - x.mean(), logs, degree), x - x.mean()))

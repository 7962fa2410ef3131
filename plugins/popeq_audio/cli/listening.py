"""``popeq listening-test``: make a listening test, and read its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from popeq.cli.options import format_option, runs_option
from popeq.output import say, say_text
from popeq_audio.cli.options import FILE, Setting


@click.group("listening-test")
def listening_test() -> None:
    """Make a listening test from runs, and analyse its results."""


@listening_test.command("export")
@click.argument("names", nargs=-1, metavar="[RUN]...")
@runs_option
@click.option("--track", "tracks", multiple=True, required=True, type=FILE, help="Audio file; repeatable.")
@click.option(
    "--at", "points", multiple=True, type=Setting(), metavar="X,Y", help="Also a setting; repeatable."
)
@click.option("--prompt", "prompts", multiple=True, metavar="ID", help="A test prompt; repeatable.")
@click.option(
    "--prompts", "count", type=click.IntRange(1), default=10, show_default=True, help="Else so many."
)
@click.option(
    "--kind",
    type=click.Choice(["mushra", "preference"]),
    default="mushra",
    show_default=True,
    help="Rated beside a reference that hides once more, with anchor; or by fit alone.",
)
@click.option("--dataset", default=None, help="Data set of the prompts. [default: that of the runs]")
@click.option("--seconds", type=click.FloatRange(1, 60), default=10.0, show_default=True, help="Of a track.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--name", "test_id", default="popeq", show_default=True, help="The test's id.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to make.")
def export(
    names: tuple[str, ...],
    runs_dir: Path,
    tracks: tuple[Path, ...],
    dataset: str | None,
    output: Path,
    **settings: Any,
) -> None:
    """Make a webMUSHRA test of what RUNs recommend, every sound of a trial equally loud.

    A RUN is a run folder, FOLDER/NAME or NAME (the runs of a predictor in a folder, or in --runs); of several
    seeds the first is taken.

    Copy OUTPUT/webmushra/configs into a webMUSHRA installation; keep OUTPUT/plan.json from the listeners.
    """
    import re

    from popeq import api
    from popeq.board.selection import runs_of
    from popeq.errors import UsageError
    from popeq_audio.listening.making import ListeningSettings, make_test

    chosen = ListeningSettings(**settings)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", chosen.test_id):
        raise UsageError(f"--name {chosen.test_id!r}: must be small letters, digits and '-', 40 at most")
    loaded = None if dataset is None else api.load_dataset(dataset)
    runs = [runs_of(name, runs_dir, loaded.name if loaded else None)[0] for name in names]
    plan = make_test(runs, tracks, output, chosen, loaded)
    sounds = sum(len(trial.conditions) + 1 for trial in plan.trials)
    say(f"{len(plan.trials)} trials, {sounds} sounds: {output}")
    say(f"copy {output}/webmushra/configs into webMUSHRA, then open ?config={plan.plan_id}.yaml")
    say(f"keep {output}/plan.json from the listeners; 'popeq listening-test analyse' needs it")


@listening_test.command("analyse")
@click.argument("results", type=FILE)
@click.option(
    "--plan", "plan_path", type=click.Path(path_type=Path), required=True, help="plan.json, or its folder."
)
@click.option(
    "--screen/--no-screen",
    default=True,
    show_default=True,
    help="Leave out who does not recognise the hidden reference (BS.1534-3).",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Also make a data set of the best-liked."
)
@click.option(
    "--simulated/--real-listeners",
    default=None,
    help="Whose answers these are; the data set says so. [default: simulated if the plan's listeners are]",
)
@click.option(
    "--decimal",
    type=click.Choice([".", ","]),
    default=None,
    help="Decimal mark of the scores. [default: the only one that fits]",
)
@format_option
def analyse(
    results: Path,
    plan_path: Path,
    screen: bool,
    output: Path | None,
    simulated: bool | None,
    decimal: Any,
    form: Any,
) -> None:
    """Read webMUSHRA's RESULTS.csv: does the distance predict preference?"""
    from popeq.render import render
    from popeq_audio.listening.analysis import MEASURES, association, by_method, screened
    from popeq_audio.listening.plan import Plan
    from popeq_audio.listening.results import read_results

    plan = Plan.read(plan_path)
    found = read_results(results, plan, decimal)
    ratings, notes = found.ratings, [*found.notes]
    if screen:
        ratings, out = screened(ratings)
        notes += [
            f"left out: {name} missed the hidden reference in {share:.0%}"
            for name, share in sorted(out.items())
        ]
    if not ratings:
        from popeq.errors import UsageError

        raise UsageError("\n".join(["no listener is left; --no-screen keeps all of them", *notes]))
    for measure, meaning in MEASURES.items():
        tau = association(ratings, measure)
        if tau.judgements:
            notes.append(
                f"{meaning}: tau {tau.tau:+.2f} [{tau.low:+.2f}, {tau.high:+.2f}] "
                f"({tau.trials} trials, {tau.listeners} listeners; above 0: what is nearer is preferred)"
            )
        else:
            notes.append(f"{meaning}: no trial has two sounds to compare")
    if simulated or plan.simulated:
        notes.append(
            "simulated " + ("answers" if simulated else f"listeners behind the distances ({plan.dataset})")
        )
    say_text(render(by_method(ratings), form, notes, keys=1))
    if form == "csv":
        say(*notes, err=True)
    if output is not None:
        from popeq_audio.listening.analysis import to_dataset

        made = to_dataset(ratings, plan, output, simulated)
        size = f"{len(made.prompts)} prompts, {len(made.responses)} responses"
        say(f"data set {made.card.label}: {size}: {output}", err=form != "text")
        if simulated is None and made.card.simulated:
            say(
                f"marked as simulated because {plan.dataset} is; give --real-listeners if people answered",
                err=form != "text",
            )
        alone = sum(len(points) < 2 for points in plan.offered.values())
        if alone:
            say(f"left out of it: {alone} prompts with fewer than two settings to choose from", err=True)

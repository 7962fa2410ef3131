"""``popeq data``: list, show, validate, import, export and seal data sets."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popeq.activity import doing
from popeq.cli.options import answers_option, option_for, validated, warn_of_broken_plugins
from popeq.cli.values import web_page
from popeq.errors import InvalidInputError, PopeqError, UnknownNameError
from popeq.output import PlainHelp, say, say_text

if TYPE_CHECKING:
    from popeq.dataset import Dataset
    from popeq.importing import ImporterSpec


@click.group()
def data() -> None:
    """List, show, check, import, export and seal data sets."""


@data.command("list")
def list_datasets() -> None:
    """List the installed data sets with their sizes and revisions."""
    from popeq.api import load_dataset
    from popeq.plugins import registry

    warn_of_broken_plugins()
    for name, spec in sorted(registry().datasets.items()):
        try:
            say(*summary(load_dataset(name)))
        except PopeqError as error:
            say(f"{name}: {spec.summary}", *f"  cannot be used: {error}".split("\n"), err=True)


@data.command("show")
@click.argument("dataset")
@click.argument("prompt_id", required=False)
@answers_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw a picture (.png or .svg) of the prompt's responses.",
)
def show(dataset: str, prompt_id: str | None, answers: Path | None, output: Path | None) -> None:
    """Show a data set's prompts, or the responses of one prompt."""
    from popeq.api import load_dataset
    from popeq.drawing import picture, terminal_plot

    loaded = load_dataset(dataset, answers=answers)
    if prompt_id is None:
        if output is not None:
            raise click.UsageError("-o needs a PROMPT_ID to draw")
        say(*summary(loaded))
        counts = loaded.responses.groupby("prompt_id").size()
        for p in loaded.prompts.to_dict(orient="records"):
            part = p["split"] or f"fold {p['fold']}" + (f" {p['panel']}" if p["panel"] else "")
            count = counts.get(p["prompt_id"])
            who = "sealed" if count is None else f"{count} listeners"
            groups = [p["category"], *(p[name] for name in loaded.card.groupings if p[name])]
            say(f"  {p['prompt_id']}  [{', '.join([part, *groups, who])}]  {p['text']}")
        return
    known = list(loaded.prompts["prompt_id"])
    if prompt_id not in known:
        raise UnknownNameError(f"prompt of {loaded.name}", prompt_id, known)
    if output is not None:
        picture(loaded, prompt_id, output)
    say_text(terminal_plot(loaded, prompt_id))
    if output is not None:
        say(f"picture: {output}")


@data.command("validate")
@click.argument("folders", nargs=-1, required=True, metavar="DATASET...")
@answers_option
def validate(folders: tuple[str, ...], answers: Path | None) -> None:
    """Check data sets: every problem of every file, with row and column."""
    from popeq.api import load_dataset

    failed = 0
    for folder in folders:
        try:
            first, *rest = summary(load_dataset(folder, answers=answers))
            say(f"valid: {first}", *rest)
        except PopeqError as error:
            failed = max(failed, error.exit_code)
            say(*f"popeq: {error}".split("\n"), err=True)
    if failed:
        raise click.exceptions.Exit(failed)


@data.command("seal")
@click.argument("dataset")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder to create, without the test answers; it must not exist or must be empty.",
)
@click.option(
    "--answers",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="New file for the test answers; keep it secret.",
)
def seal(dataset: str, output: Path, answers: Path) -> None:
    """Copy a data set without its test answers, which are written to a separate file.

    Everybody can then predict the test prompts, but only those who have the file of answers can score.
    """
    from popeq.api import load_dataset
    from popeq.sealing import seal as write_sealed

    original = load_dataset(dataset)
    sealed = write_sealed(original, output, answers)
    count = int(sealed.responses["prompt_id"].isin(sealed.test_ids).sum())
    _say_written(load_dataset(output), output)
    say(f"kept: {count} answers to {len(sealed.test_ids)} test prompts: {answers}")
    if original.card.second_panel is not None:
        say("left out: second_panel, whose answers to the test prompts are open")


@data.command("export")
@click.argument("dataset")
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Choice(["hub"]),
    required=True,
    help="Format: hub, the layout of data sets on the Hugging Face hub.",
)
@click.option("--url", callback=web_page, help="Web page of the data set, for croissant.json.")
@click.option(
    "--creator", "creators", multiple=True, help="Who made the data set, for croissant.json; repeatable."
)
@click.option(
    "--published",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Date on which the data set was published, for croissant.json.",
)
def export(
    dataset: str,
    output: Path,
    to: str,  # noqa: ARG001
    url: str | None,
    creators: tuple[str, ...],
    published: datetime | None,
) -> None:
    """Write a data set into the new folder OUT in a format of others; popeq reads that folder back.

    For the hub: Parquet tables, README.md with a header, and croissant.json (Croissant 1.1).
    """
    from popeq.api import load_dataset
    from popeq.interchange.croissant import CROISSANT, About
    from popeq.interchange.hub import export_hub

    original = load_dataset(dataset)
    about = About(url, creators, published.date().isoformat() if published else None)
    _say_written(export_hub(original, output, about), output)
    if original.card.second_panel is not None:
        say("left out: second_panel, which is a data set of its own; export it to another folder")
    if about.missing:
        say(
            f"{CROISSANT} has no {', '.join(about.missing)}, which Croissant 1.1 requires: give --url, "
            "--creator and --published before you publish it"
        )


def _say_written(dataset: Dataset, folder: Path) -> None:
    first, *rest = summary(dataset)
    say(f"written: {first}", *rest, f"  folder: {folder}")


def summary(dataset: Dataset) -> list[str]:
    """What a data set is, in a few lines."""
    from popeq.board.groupings import BY_LISTENERS
    from popeq.board.people import people_note

    panels = f" of {dataset.prompts['panel'].nunique()} panels" if dataset.by_panels else ""
    parts = (
        f"{dataset.prompts['fold'].nunique()} folds{panels}"
        if dataset.by_folds
        else "/".join(
            str(int((dataset.prompts["split"] == s).sum())) for s in ("train", "validation", "test")
        )
        + " train/validation/test"
    )
    listeners = dataset.responses["listener_id"].nunique()
    by = next(name for name in BY_LISTENERS if name not in dataset.card.groupings)
    return [
        f"{dataset.card.label} {dataset.card.version}: {dataset.card.title}",
        f"  {len(dataset.prompts)} prompts ({parts}), {len(dataset.responses)} responses of {listeners} "
        f"listeners, revision {dataset.revision[:12]}, licence {dataset.card.licence}",
        f"  {people_note(dataset, dataset.test_ids)}",
        f"  Tables can be split by {', '.join(dataset.groupings)}.",
        *(
            [f"  Groups of listeners: {', '.join(dataset.listener_groups)}; --by {by} splits by them."]
            if dataset.listener_groups
            else []
        ),
        *([f"  {dataset.sealed_note}"] if dataset.sealed else []),
    ]


class _Importers(PlainHelp, click.Group):
    """One command for each importer of the installed plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        from popeq.plugins import registry

        return sorted(registry().importers)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        from popeq.plugins import registry

        spec = registry().importers.get(cmd_name)
        return None if spec is None else _import_command(spec)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            raise UnknownNameError("importer", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


@data.command("import", cls=_Importers)
def import_() -> None:
    """Make a data set from files of another format."""


def _import_command(spec: ImporterSpec) -> click.Command:
    names = [f"file_{i}" for i in range(len(spec.files))]

    def import_files(output: Path, **values: Any) -> None:
        from popeq.dataset_folder import write_dataset

        files = [values.pop(name) for name in names]
        parameters = validated(spec.parameters, values, f"import {spec.name}")
        with doing("reading the files"):
            result = spec.load()(*files, parameters)
        try:
            written = write_dataset(result.dataset, output, result.readme(spec.name))
        except InvalidInputError as error:
            raise InvalidInputError(
                f"import {spec.name} did not make a valid data set", error.problems
            ) from None
        say(*result.lines())
        _say_written(written, output)

    parameters: list[click.Parameter] = [
        click.Argument([name], type=click.Path(path_type=Path), metavar=label)
        for name, label in zip(names, spec.files, strict=True)
    ]
    parameters.append(
        click.Option(
            ["-o", "--output"],
            type=click.Path(path_type=Path),
            required=True,
            help="Folder to create; it must not exist or must be empty.",
        )
    )
    parameters += [option_for(name, spec.parameters) for name in spec.parameters.model_fields]
    return PlainHelp(spec.name, callback=import_files, params=parameters, help=spec.summary)

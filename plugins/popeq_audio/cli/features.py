"""``popeq features``: describe the tracks that a data set folder carries."""

from __future__ import annotations

from pathlib import Path

import click

from popeq.output import say


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--fresh", is_flag=True, help="Replace a features.csv that is there.")
def features(dataset: Path, fresh: bool) -> None:
    """Measure every file in DATASET/audio and write DATASET/features.csv, one row a track."""
    from popeq.audio_folder import FEATURES, FOLDER, SUFFIXES
    from popeq.dataset_folder import read_card
    from popeq.errors import UsageError
    from popeq_audio.descriptors import describe_file, write_features

    files = sorted(f for f in (dataset / FOLDER).glob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise UsageError(
            f"{dataset / FOLDER}: holds no audio file ({', '.join(SUFFIXES)}), each named by audio_id"
        )
    target = dataset / FEATURES
    if target.exists() and not fresh:
        raise UsageError(f"{target}: is there already; --fresh replaces it")
    space = read_card(dataset).space.space
    described = {f.stem: describe_file(f, space) for f in files}
    write_features(described, target)
    say(f"{len(files)} tracks, {len(described[files[0].stem])} descriptors: {target}")

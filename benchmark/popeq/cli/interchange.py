"""``popeq schema`` and ``popeq export``: popeq's own formats, and results in those of others."""

from __future__ import annotations

import click

from popeq.output import say_text
from popeq.plain_text import json_text


@click.command()
@click.argument("name", metavar="run|card|board|dataset")
def schema(name: str) -> None:
    """Print the JSON Schema of run.json, card.json, board.json or dataset.toml.

    That of run.json is of its newest version; older files are migrated when they are read.
    """
    from popeq.interchange.schemas import json_schema

    say_text(json_text(json_schema(name), indent=2))

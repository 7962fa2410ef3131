"""``popeq models``: the models that popeq knows by name, and those that are here."""

from __future__ import annotations

import click

from popeq.output import say, say_text


@click.command()
@click.option(
    "--convert",
    metavar="NAME",
    help="Print the folder of a packaged model's or GGUF file's weights as safetensors.",
)
def models(convert: str | None) -> None:
    """List what --model can name: size, quantisation and licence, whether it is here, and what brings it.

    A folder, a GGUF file, any hub name and openai:NAME (a server) are taken as well.
    """
    if convert is not None:
        say(_folder_of(convert))
        return
    from tabulate import tabulate

    from popeq.plain_text import size_text, visible
    from popeq_llm.known import KNOWN
    from popeq_llm.weights import hub_models

    in_hub = hub_models()
    rows = []
    for model in KNOWN:
        here = model.packaged() is not None if model.package else model.name in in_hub
        rows.append(
            {
                "name": model.name,
                "kind": model.kind,
                "size": size_text(model.parameters),
                "quantisation": model.quantisation,
                "licence": model.licence,
                "here": "yes" if here else "no",
                "brought by": model.brought_by,
            }
        )
    named = {model.name for model in KNOWN}
    rows += [
        {"name": name, "here": "yes", "brought by": f"hf download {name}"}
        for name in in_hub
        if name not in named
    ]
    shown = [{key: visible(value) for key, value in row.items()} for row in rows]
    say_text(tabulate(shown, headers="keys"))


def _folder_of(name: str) -> str:
    from popeq.errors import UsageError
    from popeq.installing import need

    need("torch", "llm")
    from popeq_llm.gguf import converted
    from popeq_llm.loading import pick_dtype
    from popeq_llm.weights import place_of

    place = place_of(name)
    if place.path is None or not place.is_gguf:
        raise UsageError(f"--convert {name}: is not a GGUF file; only those are converted")
    return str(converted(place.path, pick_dtype("float32", "cpu"), lambda line: say(line, err=True)).folder)

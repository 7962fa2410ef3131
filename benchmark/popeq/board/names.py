"""Short names of a board's rows that still tell the rows apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from popeq.board.entries import Entry
from popeq.plain_text import visible

_ANY = 10_000


def row_names(entries: Sequence[Entry], method_width: int, model_width: int) -> list[tuple[str, str]]:
    """A method and a model for each row, in at most so many characters, no two rows alike.

    A model is its name, with size, quantisation and hash only where another model has the same name; a
    method is the predictor's name, with those parameters that rows of this name and model differ in. What is
    still too long is cut where it remains different from the others.
    """
    models = _models([visible(e.model) for e in entries])
    methods = _methods(entries, models)
    shown = list(zip(cut(methods, method_width), cut(models, model_width), strict=True))
    if len(set(shown)) < len(shown):  # the same in each word that is shown, such as labels of equal text
        numbers = [f" #{i}" for i in range(1, len(shown) + 1)]
        shown = [
            (f"{method[: method_width - len(n)]}{n}", model)
            for (method, model), n in zip(shown, numbers, strict=True)
        ]
    return shown


def line_names(entries: Sequence[Entry], width: int) -> list[str]:
    """A name of at most ``width`` characters for each row, no two alike: the method and, where rows have the
    same, its model."""
    return cut(full_names(entries), width)


def full_names(entries: Sequence[Entry]) -> list[str]:
    """As ``line_names``, as long as they are."""
    names = row_names(entries, _ANY, _ANY)
    often = Counter(method for method, _ in names)
    return [method if often[method] == 1 or not model else f"{method}, {model}" for method, model in names]


def _models(full: Sequence[str]) -> list[str]:
    """``NAME (size, quantisation, hash)`` as ``NAME`` where that says which."""
    names = {model: model.split(" (")[0] for model in set(full)}
    often = Counter(names.values())
    return [names[model] if often[names[model]] == 1 else model for model in full]


def _methods(entries: Sequence[Entry], models: Sequence[str]) -> list[str]:
    groups: dict[tuple[str, str], list[int]] = {}
    for i, (entry, model) in enumerate(zip(entries, models, strict=True)):
        groups.setdefault((entry.record.predictor.name, model), []).append(i)
    methods = [""] * len(entries)
    for (name, _), rows in groups.items():
        words = [_details(entries[i].label, name) for i in rows]
        shared = set(words[0]).intersection(*words[1:])
        for i, own in zip(rows, words, strict=True):
            differing = ", ".join(word for word in own if word not in shared)
            methods[i] = visible(f"{name} ({differing})" if differing and len(rows) > 1 else name)
    return methods


def _details(label: str, name: str) -> list[str]:
    """The words in brackets after a predictor's name."""
    return label.removeprefix(name).removeprefix(" (").removesuffix(")").split(", ")


def cut(names: Sequence[str], width: int) -> list[str]:
    """The names in at most ``width`` characters (8 or more); different names stay different.

    The end is left out or, where names differ only behind it, a middle part.
    """
    short = {name: name for name in names if len(name) <= width}
    waiting = sorted({name for name in names if len(name) > width})
    for form in (_begin, _differing):
        groups: dict[str, list[str]] = {}
        for name in waiting:
            groups.setdefault(_begin(name, "", width), []).append(name)
        made = {n: form(n, _shared(own), width) for own in groups.values() for n in own}
        often = Counter([*made.values(), *short.values()])
        short |= {name: text for name, text in made.items() if often[text] == 1}
        waiting = [name for name in waiting if often[made[name]] > 1]
    for i, name in enumerate(waiting, 1):
        short[name] = f"{name[: width - 2 - len(str(i))]}…#{i}"
    return [short[name] for name in names]


def _shared(names: Sequence[str]) -> str:
    """What all names begin with."""
    first, last = min(names), max(names)
    end = next((i for i, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return first[:end]


def _begin(name: str, _: str, width: int) -> str:
    return f"{name[: width - 1]}…"


def _differing(name: str, shared: str, width: int) -> str:
    """The beginning, and what follows the part that others share."""
    kept = (width - 2) // 2
    rest = name[len(shared) :]
    end = rest if len(rest) <= kept + 1 else f"{rest[:kept]}…"
    return f"{name[: width - 1 - len(end)]}…{end}"

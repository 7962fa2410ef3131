"""Drop the SAFE-DB rows that are no answers, and count them by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from popeq_data.importers.safe_listeners import LAB_WORDS, Setting

#: Names of plug-ins, presets and takes, not words for a sound.
NON_WORDS = frozenset({"re27", "re27-1", "jammy", "kickclean", "mix 1"})
#: No gain above this is audible: the plug-in was saved untouched.
FLAT_DB = 0.1

_REASONS: tuple[tuple[str, Callable[[Setting], bool]], ...] = (
    ("test rows (descriptor begins with 'test')", lambda s: s.row.word.startswith("test")),
    (
        "not a word (re27, jammy, kickclean, mix 1, empty)",
        lambda s: s.row.word in NON_WORDS or not s.row.word,
    ),
    ("flat setting (every gain under 0.1 dB)", lambda s: s.row.largest_gain_db < FLAT_DB),
    ("listener not recorded", lambda s: not s.listener),
    (
        "laboratory row without a known word and track",
        lambda s: s.part != "home" and (s.row.word not in LAB_WORDS or (s.part != "C" and s.track is None)),
    ),
)


def clean(settings: Sequence[Setting]) -> tuple[list[Setting], Counter[str]]:
    """The settings that are kept, in the file's order, and the number dropped for each reason.

    A listener's exact repeat of a setting for the same word (and track) is dropped, then every setting that
    the same listener replaced by a later one. The same setting under two words is two answers. Part C
    does not record which of ten tracks a setting was for, so none of its settings is known to be replaced.
    """
    dropped = Counter({name: 0 for name, _ in _REASONS})
    kept: list[Setting] = []
    for setting in settings:
        reason = next((name for name, applies in _REASONS if applies(setting)), None)
        if reason:
            dropped[reason] += 1
        else:
            kept.append(setting)
    once = _last_of_each(kept, lambda s: (s.listener, s.row.word, s.track, s.row.knobs))
    dropped["exact repeat by the same listener"] = len(kept) - len(once)
    latest = _last_of_each(
        once, lambda s: (s.listener, s.row.word, s.track, s.row.row_id if s.part == "C" else None)
    )
    dropped["replaced by the same listener's later setting"] = len(once) - len(latest)
    return latest, dropped


def last_of_each_word(settings: Sequence[Setting]) -> list[Setting]:
    """One setting for each listener and word: the last."""
    return _last_of_each(settings, lambda s: (s.listener, s.row.word))


def _last_of_each(settings: Sequence[Setting], key: Callable[[Setting], object]) -> list[Setting]:
    last = {key(setting): setting for setting in settings}
    return [setting for setting in settings if last[key(setting)] is setting]

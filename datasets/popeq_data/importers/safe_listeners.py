"""The listener of each SAFE-DB setting, recovered from the layout of the file, and which settings are kept.

The published rows name no listener. Three blocks of ids are laboratory experiments (A, B, C) where one
machine served many people; everywhere else a listener is a network address.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from popeq_data.importers.safe_rows import SafeRow

Part = Literal["A", "B", "C", "home"]

GENRES = ("jazz", "metal")
TRACKS = tuple(f"{genre}{i}" for genre in GENRES for i in range(1, 6))
LAB_WORDS = ("bright", "warm")

A_IDS = range(431, 831)
B_IDS = range(845, 1119)
B_LAST_IDS = range(1124, 1204)
C_IDS = range(1479, 1679)
C_BLOCK = 20

#: Last id of each listener but the eleventh at the desk that served eleven, the address with the most rows.
B_DESK_ENDS = (864, 886, 907, 927, 948, 970, 992, 1012, 1032, 1056)
#: Last id of each listener of the last block.
B_LAST_ENDS = (1142, 1162, 1182, 1203)


@dataclass(frozen=True)
class Setting:
    """A row with its listener; ``listener`` is empty if it cannot be recovered.

    ``listener`` may hold an address, so it must be hashed before it is written anywhere.
    """

    row: SafeRow
    part: Part
    listener: str
    track: str | None = None


def recover(rows: Sequence[SafeRow]) -> list[Setting]:
    """The part, the listener and, in parts A and B, the track of every row."""
    # Addresses of part B's first block, by the rows whose word is spelt correctly.
    desks = Counter(row.address for row in rows if row.row_id in B_IDS and row.raw_word in LAB_WORDS)
    return [_setting(row, desks) for row in rows]


def _setting(row: SafeRow, desks: Counter[str]) -> Setting:
    if row.row_id in A_IDS:
        return Setting(row, "A", f"A:{row.genre}" if row.genre else "", _track(row.instrument))
    if row.word in LAB_WORDS and (row.row_id in B_IDS or row.row_id in B_LAST_IDS):
        return Setting(row, "B", _b_listener(row, desks), _track(row.genre))
    if row.row_id in C_IDS:
        return Setting(row, "C", f"C:{(row.row_id - C_IDS.start) // C_BLOCK}")
    return Setting(row, "home", f"home:{row.address}" if row.address else "")


def _b_listener(row: SafeRow, desks: Counter[str]) -> str:
    if row.row_id in B_LAST_IDS:
        return f"B:last:{bisect_left(B_LAST_ENDS, row.row_id)}"
    if row.address not in desks:
        # A misspelt row in a cut file: the rows that would identify its listener are missing.
        return ""
    if row.address == desks.most_common(1)[0][0]:
        return f"B:desk:{bisect_left(B_DESK_ENDS, row.row_id)}"
    return f"B:address:{row.address}"


def _track(note: str) -> str | None:
    track = "".join(note.split()).casefold()
    return track if track in TRACKS else None


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
    dropped: Counter[str] = Counter()
    kept = list(settings)
    for name, applies in _REASONS:
        left = [setting for setting in kept if not applies(setting)]
        dropped[name], kept = len(kept) - len(left), left
    once = last_of_each(kept, lambda s: (s.listener, s.row.word, s.track, s.row.knobs))
    dropped["exact repeat by the same listener"] = len(kept) - len(once)
    latest = last_of_each(
        once, lambda s: (s.listener, s.row.word, s.track, s.row.row_id if s.part == "C" else None)
    )
    dropped["replaced by the same listener's later setting"] = len(once) - len(latest)
    return latest, dropped


def last_of_each(settings: Sequence[Setting], key: Callable[[Setting], object]) -> list[Setting]:
    """The last setting of each value of ``key``, in the order of the settings."""
    last = {key(setting): setting for setting in settings}
    return [setting for setting in settings if last[key(setting)] is setting]

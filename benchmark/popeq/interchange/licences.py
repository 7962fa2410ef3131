"""Licences of data that others know by name: their SPDX identifiers, as far as the hub lists them too."""

from __future__ import annotations

_KNOWN = (
    *("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "Unlicense", "CC0-1.0", "CC-BY-2.0", "CC-BY-2.5"),
    *("CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-NC-2.0", "CC-BY-NC-3.0"),
    *("CC-BY-NC-4.0", "CC-BY-ND-4.0", "CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-2.0"),
    *("CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"),
)


def spdx(licence: str) -> str | None:
    """The SPDX identifier that a data set's licence is, in its official spelling; None for other texts."""
    return next((known for known in _KNOWN if known.lower() == licence.strip().lower()), None)


def licence_url(licence: str) -> str | None:
    """The page of a licence that ``spdx`` knows; None for other texts."""
    known = spdx(licence)
    return f"https://spdx.org/licenses/{known}.html" if known else None

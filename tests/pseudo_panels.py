"""Reference lines from fewer pseudo-panels: most tests build boards for something else, lines take longest.

Lines move by a few percent. What is about the lines themselves asks for the fixture ``whole_lines``.
"""

from popeq.board import halves

WHOLE = {"_PANELS": halves._PANELS, "_MOST_PANELS": halves._MOST_PANELS}


def use_few() -> None:
    """From now on, in this process and those forked from it."""
    halves._PANELS, halves._MOST_PANELS = 180, 8

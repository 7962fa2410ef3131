"""Reference lines from fewer pseudo-panels: most tests build boards for something else, lines take longest.

Lines move by a few percent. What is about the lines themselves asks for the fixture ``whole_lines``.
"""

from popeq.board import split_half

WHOLE = {"PANELS": split_half.PANELS, "MOST_PANELS": split_half.MOST_PANELS}


def use_few() -> None:
    """From now on, in this process and those forked from it."""
    split_half.PANELS, split_half.MOST_PANELS = 180, 8

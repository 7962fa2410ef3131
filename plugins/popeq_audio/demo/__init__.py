"""The local page: ask a sentence, see who would choose what, drag the point and hear it."""

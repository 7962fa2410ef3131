"""``popeq-tiny``: the bundled stand-in for a language model, and all that makes it.

Only ``model/`` is used when it runs. What makes it imports ``popeq_data`` (the simulated listeners' model
and table of words), the one arrow from a plugin to the data sets; nothing outside this folder does.
"""

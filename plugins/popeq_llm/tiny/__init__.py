"""``popeq-tiny``: the bundled stand-in for a language model, and all that makes it."""

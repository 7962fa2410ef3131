"""What each animal does; popeq_zoo.animals does it."""

from __future__ import annotations

import popeq

ANIMALS = {
    "fit-raises": "raises in fit",
    "sample-raises": "raises in sample",
    "wrong-shape": "gives one number a sample",
    "not-a-number": "gives NaN",
    "out-of-the-box": "gives 6.5 dB",
    "too-few": "gives fewer samples than asked",
    "lazy": "gives a generator",
    "hangs": "never comes back",
    "forks": "leaves its session with a child that hangs, and hangs",
    "deserter": "leaves a child behind and ends in order",
    "glutton": "takes 100 GB, a little at a time",
    "litter": "has a child that takes 100 GB",
    "quits": "calls os._exit(0)",
    "exits": "calls sys.exit",
    "segfaults": "dies of SIGSEGV",
    "chatter": "prints 1 GB",
    "messy": "writes into the working directory and into the temporary one",
    "spy": "looks for test responses",
    "thief": "looks for secrets",
    "caller": "phones home",
    "meddler": "changes NumPy's global state",
    "reader": "reads its standard input",
    "overwriter": "sets the responses that it is given to 0",
    "hasher": "draws by the order of a set of words",
}


@popeq.hookimpl
def popeq_predictors() -> list[popeq.PredictorSpec]:
    return [
        popeq.PredictorSpec("zoo-import-raises", "cannot be imported", "popeq_zoo.raises_at_import:Any"),
        *(
            popeq.PredictorSpec(f"zoo-{name}", what, f"popeq_zoo.animals:{name.title().replace('-', '')}")
            for name, what in ANIMALS.items()
        ),
    ]

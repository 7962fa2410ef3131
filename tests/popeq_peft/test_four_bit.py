"""A base model held in 4 bits trains, samples, and is loaded again; only where bitsandbytes is installed."""

from __future__ import annotations

import numpy as np
import pytest
from small_fits import draw, fitted, learnable

from popeq.space import PLANE


@pytest.mark.parametrize("name", ["lora-ntp", "prefix-ntp", "lora-head"])
def test_four_bits_train_as_many_parameters_and_load_again(name, tmp_path, model_folders):
    bits = pytest.importorskip(
        "bitsandbytes", reason="4 bits need bitsandbytes, which the tests do not install"
    )
    options = {"model": str(model_folders("phi3")), "epochs": 2}
    train = learnable(6, listeners=4)
    predictor = fitted(name, options | {"four_bit": True}, tmp_path, train)
    (record,) = predictor.records
    modules = list(predictor.members[0].backbone.model.modules())
    assert sum(isinstance(m, bits.nn.Linear4bit) for m in modules) >= 8
    assert record.trained_parameters == fitted(name, options, None, train).records[0].trained_parameters
    assert record.history[1]["loss"] < record.history[0]["loss"]
    samples = draw(predictor)
    assert PLANE.contains(samples).all()
    again = fitted(name, options | {"four_bit": True, "adapter": str(tmp_path)})
    np.testing.assert_array_equal(draw(again), samples)

"""A base model with a trained prefix before each context.

The prefix is handed to the base model as a filled cache, with a mask over it, as peft's own forward does; but
masks may be 4-D and positions explicit, which peft's forward does not take
(https://github.com/huggingface/peft/blob/v0.21.2/src/peft/peft_model.py, ``PeftModelForCausalLM.forward``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from popeq_llm.architecture import additive_masks


class PrefixedModel:
    """A base model that sees a trained prefix before each context; called as the base model is called.

    Masks and positions are those without the prefix: masks get columns before them that show it as so many
    tokens before the context, and positions move on by its length.
    """

    def __init__(self, model: Any, adapted: Any) -> None:
        self._model, self._adapted = model, adapted
        self.config, self.parameters = model.config, model.parameters
        self.device, self.dtype = model.device, model.dtype
        self.prefix_tokens = adapted.active_peft_config.num_virtual_tokens

    def __call__(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | dict[str, Tensor] | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        **more: Any,
    ) -> Any:
        prefix = self._adapted.get_prompt(input_ids.shape[0])
        if past_key_values is None:
            past_key_values = prefix
        elif past_key_values.get_seq_length() == 0:
            for i, layer in enumerate(prefix.layers):
                past_key_values.update(layer.keys, layer.values, i)
        if attention_mask is not None:
            more["attention_mask"] = self._prefixed(attention_mask, position_ids)
        if position_ids is not None:
            more["position_ids"] = position_ids + self.prefix_tokens
        return self._model(input_ids, past_key_values=past_key_values, **more)

    def _prefixed(
        self, mask: Tensor | dict[str, Tensor], positions: Tensor | None
    ) -> Tensor | dict[str, Tensor]:
        """The masks with columns for the prefix, whose positions are those before 0."""
        if isinstance(mask, Tensor) and mask.ndim == 2:
            return torch.cat([mask.new_ones((len(mask), self.prefix_tokens)), mask], dim=1)
        assert positions is not None
        own = torch.arange(-self.prefix_tokens, 0, device=positions.device).expand(len(positions), -1)
        visible = torch.ones((*positions.shape, self.prefix_tokens), dtype=torch.bool, device=self.device)
        before = additive_masks(self, visible, positions, own)
        if isinstance(mask, dict):
            assert isinstance(before, dict)
            return {kind: torch.cat([before[kind], mask[kind]], dim=-1) for kind in mask}
        assert isinstance(before, Tensor)
        return torch.cat([before, mask], dim=-1)

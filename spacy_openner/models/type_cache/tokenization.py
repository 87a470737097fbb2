"""Texts and types to subwords, each apart: a text's row holds no prompt."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import error
from ..gliner.tokenization import Prompt, PromptTokenizer, even_parts


class ApartTokenizer(PromptTokenizer):
    """A tokenizer whose prompts are empty, and which encodes types by themselves.

    tokenizer (Any): A fast tokenizer.
    limit (int): The most subwords of a text's row.
    marker_id (int): What stands before each type.
    max_types (int | None): The most types that a text sees at once; all if None.
    type_limit (int): The most subwords of a type, its marker included.
    """

    def __init__(
        self, tokenizer: Any, limit: int, *, marker_id: int, type_limit: int, max_types: int | None = None
    ) -> None:
        super().__init__(tokenizer, limit, entity_id=marker_id, max_types=max_types)
        self.type_limit = type_limit

    def split_types(self, types: Sequence[str]) -> list[Prompt]:
        """Split types over passes of about equal number; a pass has no prompt but the prefix."""
        none = np.zeros(0, dtype=np.int64)
        return [Prompt(self.prefix, part, none) for part in even_parts(np.ones(len(types)), len(types), self.max_types)]

    def encode_types(self, types: Sequence[str]) -> list[np.ndarray]:
        """Encode types.

        RETURNS (list[np.ndarray]): The marker and the subwords of each. *Shape of each:* (subwords,), int64.
        RAISES (SettingError): For a type that is too long.
        """
        coded = self._type_ids.look_up(types, lambda missing: [self._encode_type(text) for text in missing])
        for text, ids in zip(types, coded, strict=True):
            if len(ids) > self.type_limit:
                raise error("O006", label=text, size=len(ids), budget=self.type_limit)
        return coded

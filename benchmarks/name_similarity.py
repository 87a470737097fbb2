"""How alike the names of types are to a sentence encoder."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

BATCH = 64


def unlike(names: Sequence[str], others: Sequence[str], encoder: Path, most: float) -> list[str]:
    """Leave out the names that are more alike to one of `others` than `most`; these themselves stay.

    encoder (Path): A sentence encoder whose vectors are means over subwords, as a directory of transformers.
    most (float): Cosine.
    """
    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> Tensor:
        vectors = []
        for start in range(0, len(texts), BATCH):
            inputs = tokenizer(list(texts[start : start + BATCH]), padding=True, return_tensors="pt")
            states, mask = model(**inputs).last_hidden_state, inputs["attention_mask"][..., None]
            vectors.append(normalize((states * mask).sum(1) / mask.sum(1), dim=-1))
        return torch.cat(vectors)

    alike = (embed(names) @ embed(others).T).amax(1).tolist()
    return [name for name, cosine in zip(names, alike, strict=True) if cosine <= most or name in others]

"""How likely a generative model finds given answers: exact, and many at once."""

from collections.abc import Iterator, Sequence

import torch

from ...decoding.copy_constrained import FedPosition
from .decoder_cache import CachedDecoder
from .model import Generator


def log_likelihoods(
    generator: Generator, prompts: Sequence[str], answers: Sequence[Sequence[str]], batch_tokens: int
) -> list[list[float]]:
    """Score whole answers to prompts: the sum of the log probabilities of all pieces, among the whole vocabulary.

    A prompt is read once, however many answers it has.

    generator (Generator): The model.
    prompts (Sequence[str]): What it reads; longer ones than `generator.limit` are the caller's affair.
    answers (Sequence[Sequence[str]]): Those of each prompt.
    batch_tokens (int): The most pieces of prompts in a batch, padding included.
    RETURNS (list[list[float]]): In step with the answers.
    """
    encoded = [[generator.spell(each) for each in some] for some in answers]
    found: list[list[float]] = [[] for _ in prompts]
    sizes = [len(ids) for ids in generator.tokenizer(list(prompts))["input_ids"]] if prompts else []
    with torch.inference_mode():
        for rows in _batches(sizes, [len(some) for some in answers], batch_tokens):
            ids, mask = generator.read([prompts[row] for row in rows])
            decoder = generator.start(ids, mask)
            first = generator.first(ids)
            for turn in range(len(encoded[rows[0]])):
                # Those with the most answers come first, so that the rows of a turn are the first ones.
                here = [i for i, row in enumerate(rows) if turn < len(encoded[row])]
                pieces = [encoded[rows[i]][turn] for i in here]
                fed = [[first[i], *each[:-1]] for i, each in zip(here, pieces, strict=True)]
                decoder.feed(here, fed, [0] * len(here))
                for i, values in zip(here, piece_log_probs(generator, decoder, pieces), strict=True):
                    found[rows[i]].append(sum(values))
    return found


def piece_log_probs(generator: Generator, decoder: CachedDecoder, pieces: Sequence[Sequence[int]]) -> list[list[float]]:
    """Log probabilities of the pieces of each row, among the whole vocabulary, after the pass that was fed them."""
    places = [FedPosition(row, place) for row, each in enumerate(pieces) for place in range(len(each))]
    wanted = torch.tensor([piece for each in pieces for piece in each])
    logits = decoder.logits(places, generator.vocabulary).float().cpu()
    log_probs = logits.log_softmax(-1).gather(1, wanted[:, None])[:, 0]
    return [part.tolist() for part in log_probs.split([len(each) for each in pieces])]


def _batches(sizes: Sequence[int], n_answers: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Group prompts, those with the most answers first."""
    batch: list[int] = []
    longest = 0
    for row in sorted(range(len(sizes)), key=lambda row: (-n_answers[row], -sizes[row])):
        if not n_answers[row]:
            continue
        longest = max(longest, sizes[row])
        if batch and (len(batch) + 1) * longest > budget:
            yield batch
            batch, longest = [], sizes[row]
        batch.append(row)
    if batch:
        yield batch

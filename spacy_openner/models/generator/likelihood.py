"""Score given answers by a generative model: exact log-likelihoods, many answers at once."""

from collections.abc import Sequence

import torch

from ...decoding.copy_constrained import FedPosition
from ...nn.batching import batch_by_length
from .decoder_cache import CachedDecoder
from .model import Generator


def log_likelihoods(
    generator: Generator, prompts: Sequence[str], answers: Sequence[Sequence[str]], batch_tokens: int
) -> list[list[float]]:
    """Score whole answers to prompts: the sum of the log probabilities of all subwords, among the whole vocabulary.

    A prompt is read once, however many answers it has.

    generator (Generator): The model.
    prompts (Sequence[str]): The prompts. The caller sees to it that they fit into `generator.limit`.
    answers (Sequence[Sequence[str]]): Those of each prompt.
    batch_tokens (int): The most subwords of prompts in a batch, padding included.
    RETURNS (list[list[float]]): One score per answer.
    """
    encoded = [
        [generator.encode_answer(answer, prompt) for answer in options]
        for prompt, options in zip(prompts, answers, strict=True)
    ]
    scores: list[list[float]] = [[] for _ in prompts]

    def most_answers(row: int) -> tuple[int, int]:
        return len(answers[row]), sizes[row]

    sizes = [len(ids) for ids in generator.tokenizer(list(prompts))["input_ids"]] if prompts else []
    with torch.inference_mode():
        with_answers = [row for row, options in enumerate(answers) if options]
        for rows in batch_by_length(
            with_answers, sizes.__getitem__, batch_tokens, order=lambda row: (len(answers[row]), sizes[row])
        ):
            ids, mask = generator.encode_prompts([prompts[row] for row in rows])
            decoder = generator.start_decoder(ids, mask)
            start = generator.start_subwords(ids)
            for turn in range(len(encoded[rows[0]])):
                # Those with the most answers come first, so that the rows of a turn are the first ones.
                active = [i for i, row in enumerate(rows) if turn < len(encoded[row])]
                subwords = [encoded[rows[i]][turn] for i in active]
                fed = [[start[i], *answer[:-1]] for i, answer in zip(active, subwords, strict=True)]
                decoder.feed(active, fed, [0] * len(active))
                for i, values in zip(active, subword_log_probs(generator, decoder, subwords), strict=True):
                    scores[rows[i]].append(sum(values))
    return scores


def subword_log_probs(
    generator: Generator, decoder: CachedDecoder, subwords: Sequence[Sequence[int]]
) -> list[list[float]]:
    """Return the log probability of each subword that each row was just fed, among the whole vocabulary."""
    positions = [FedPosition(row, offset) for row, answer in enumerate(subwords) for offset in range(len(answer))]
    targets = torch.tensor([subword for answer in subwords for subword in answer])
    logits = decoder.logits(positions, generator.vocabulary).float().cpu()
    log_probs = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    return [part.tolist() for part in log_probs.split([len(answer) for answer in subwords])]

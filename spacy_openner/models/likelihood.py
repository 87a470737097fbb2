"""How likely a generative model finds given answers: exact, and many at once."""

from collections.abc import Iterator, Sequence

import torch

from .generator import Generator


def answer_pieces(generator: Generator, answer: str) -> list[int]:
    """A whole answer in pieces, its end included."""
    # After a causal prompt, byte-level tokenizers read the answer's first word with the space before it.
    lead = " " if generator.causal and generator.chunks.spaced else ""
    return [*generator.tokenizer(lead + answer, add_special_tokens=False)["input_ids"], generator.end]


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
    encoded = [[answer_pieces(generator, each) for each in some] for some in answers]
    found: list[list[float]] = [[] for _ in prompts]
    sizes = [len(ids) for ids in generator.tokenizer(list(prompts))["input_ids"]] if prompts else []
    with torch.inference_mode():
        for rows in _batches(generator, sizes, [len(some) for some in answers], batch_tokens):
            ids, mask = generator.read([prompts[row] for row in rows])
            decoder = generator.start(ids, mask)
            first = generator.first(ids)
            for turn in range(len(encoded[rows[0]])):
                # Those with the most answers come first, so that the rows of a turn are the first ones.
                here = [i for i, row in enumerate(rows) if turn < len(encoded[row])]
                pieces = [encoded[rows[i]][turn] for i in here]
                fed = [[first[i], *each[:-1]] for i, each in zip(here, pieces, strict=True)]
                decoder.feed(here, fed, [0] * len(here))
                for i, value in zip(here, _sums(generator, decoder, pieces), strict=True):
                    found[rows[i]].append(value)
    return found


def _sums(generator: Generator, decoder: object, pieces: Sequence[Sequence[int]]) -> list[float]:
    """Log probabilities of the pieces of each row, summed, after the pass that was fed them."""
    vocabulary = range(int(generator.network.get_input_embeddings().weight.shape[0]))
    places = [(row, place) for row, each in enumerate(pieces) for place in range(len(each))]
    wanted = torch.tensor([piece for each in pieces for piece in each])
    logits = decoder.logits(places, vocabulary).float().cpu()  # type: ignore[attr-defined]
    log_probs = logits.log_softmax(-1).gather(1, wanted[:, None])[:, 0]
    return [float(part.sum()) for part in log_probs.split([len(each) for each in pieces])]


def _batches(generator: Generator, sizes: Sequence[int], n_answers: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Group prompts, those with the most answers first; one by one where a model's rows cannot share passes."""
    from .decoders import decoder_class

    together = decoder_class(generator.network).ragged
    batch: list[int] = []
    longest = 0
    for row in sorted(range(len(sizes)), key=lambda row: (-n_answers[row], -sizes[row])):
        if not n_answers[row]:
            continue
        longest = max(longest, sizes[row])
        if batch and (not together or (len(batch) + 1) * longest > budget):
            yield batch
            batch, longest = [], sizes[row]
        batch.append(row)
    if batch:
        yield batch

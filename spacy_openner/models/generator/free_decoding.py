"""Answers that `generate` writes: under constraints, or freely, and then read and matched with the text."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch

from ...decoding.mention_search import locate_mentions
from ...decoding.tag_trie import O_TAG, AnswerWord, Tagset, allowed_subwords
from ...decoding.word_matching import WordErrors, match_words
from ...prompts.base import Prompt, normalize_name
from .likelihood import piece_log_probs
from .model import Generator


class Heard(NamedTuple):
    """What a free answer says about the words of its text.

    tags: Of each word.
    parts: For each word the run of characters of the answer that says so; (0, 0) for words not spoken of.
    slips: How the answer departed from the text.
    explanations: Of the entities, in order; "" for one that is not explained.
    """

    tags: list[int]
    parts: list[tuple[int, int]]
    slips: WordErrors
    explanations: list[str]


def say(
    generator: Generator,
    ids: torch.Tensor,
    mask: torch.Tensor,
    words: Sequence[Sequence[AnswerWord]],
    num_beams: int,
    tagsets: Sequence[Tagset] | None,
    explained: bool = False,
) -> list[list[int]]:
    """Let `generate` answer: freely, or with `allowed_subwords` as its constraint.

    ids, mask (torch.Tensor): The prompts. *Shape:* (texts, pieces).
    words (Sequence[Sequence[AnswerWord]]): The texts.
    tagsets (Sequence[Tagset] | None): What each text's tags are, for constrained answers.
    explained (bool): Whether answers give explanations, which may take all the room that there is.
    RETURNS (list[list[int]]): The pieces of each answer, without what starts and ends it.
    """
    longest = max(sum(len(w.forced) + max(map(len, w.trie.sequences)) for w in each) for each in words) + 1
    start = ids.shape[1] if generator.causal else 1
    # Room to stray: a free answer may be longer than the text.
    room = longest if tagsets is not None else longest + longest // 4 + 8
    if explained:
        room = max(room, generator.limit - (start if generator.causal else 0))
    options: dict[str, Any] = {}
    if tagsets is not None:
        options["prefix_allowed_tokens_fn"] = lambda row, said: allowed_subwords(
            words[row], tagsets[row], generator.end, said[start:].tolist()
        )
    network = generator.network
    said = network.generate(
        input_ids=ids.to(network.device),
        attention_mask=mask.to(network.device),
        max_new_tokens=room,
        num_beams=num_beams,
        do_sample=False,
        eos_token_id=generator.end,
        pad_token_id=generator.tokenizer.pad_token_id or 0,
        **options,
    )
    return [_until(row[start:].tolist(), generator.end) for row in said]


def _until(pieces: list[int], end: int) -> list[int]:
    return pieces[: pieces.index(end)] if end in pieces else pieces


def walk(said: Sequence[int], words: Sequence[AnswerWord], tagset: Tagset) -> list[int]:
    """The tags that a constrained answer says."""
    tags, i = [], 0
    for word in words:
        i += len(word.forced)
        tag = next(t for t, pieces in enumerate(word.trie.sequences) if tuple(said[i : i + len(pieces)]) == pieces)
        tags.append(tag)
        i += len(word.trie.sequences[tag])
    return tags


def hear(generator: Generator, prompt: Prompt, said: Sequence[int], words: list[str], labels: list[str]) -> Heard:
    """The tags that a free answer gives to the words of its text. Tags of unknown labels count as O."""
    tokenizer = generator.tokenizer
    text = _text(generator, said)
    answer = prompt.parse(text, labels)
    spoken = [word.word for word in answer]

    def forms(texts: Sequence[str]) -> list[str]:
        return _retokenise(tokenizer, texts)

    if prompt.repeats_text:
        matching = match_words(words, spoken, forms)
    else:
        matching = locate_mentions(words, spoken, _mentions([word.tag for word in answer]), forms)
    exact = {tag: i for i, tag in enumerate(prompt.tags(labels))}
    folded = {normalize_name(tag): i for tag, i in reversed(exact.items())}
    tagset, tags = Tagset(len(labels)), list[int]()
    for i, place in enumerate(matching.indices):
        said_tag = "" if place is None else answer[place].tag
        tag = exact.get(said_tag, folded.get(normalize_name(said_tag), O_TAG))
        if tag and place is not None and i and matching.indices[i - 1] == place:
            # Two words of the text that the answer wrote as one.
            tag = tagset.entity(tagset.label(tag), 2)[-1]
        tags.append(tagset.legal(tag, tags[-1] if tags else O_TAG))
    parts = [(0, 0) if place is None else (answer[place].start, answer[place].end) for place in matching.indices]
    # As the answer spells them: the model's tokenizer may not have all letters.
    places = [dict.fromkeys(matching.indices[first:last]) for first, last, _ in tagset.spans(tags)]
    entities = [" ".join(spoken[place] for place in each if place is not None) for each in places]
    return Heard(tags, parts, matching.errors, prompt.parse_explanations(text, entities))


def _mentions(tags: Sequence[str]) -> list[tuple[int, int]]:
    """Runs of words that are one entity, whatever its label."""
    starts = [i for i, tag in enumerate(tags) if tag.startswith("B-")]
    return list(pairwise([*starts, len(tags)]))


def _retokenise(tokenizer: Any, words: Sequence[str]) -> list[str]:
    encoded = tokenizer(list(words), add_special_tokens=False)["input_ids"]
    return [text.strip() for text in tokenizer.batch_decode(encoded, skip_special_tokens=True)]


def _text(generator: Generator, said: Sequence[int]) -> str:
    text: str = generator.tokenizer.decode(list(said), skip_special_tokens=True)
    return text


def log_probs(
    generator: Generator, ids: torch.Tensor, mask: torch.Tensor, said: Sequence[Sequence[int]], heard: Sequence[Heard]
) -> list[list[float]]:
    """Score words by the probability, among the whole vocabulary, of the pieces that spoke of them.

    said (Sequence[Sequence[int]]): The pieces of each answer.
    RETURNS (list[list[float]]): Log probabilities; a part that speaks of several words counts at the first of them.
    """
    found = []
    for row, (pieces, each) in enumerate(zip(said, heard, strict=True)):
        own = slice(row, row + 1)
        spoken = _pieces_log_probs(generator, ids[own], mask[own], pieces)
        ends = [len(_text(generator, pieces[: i + 1])) for i in range(len(pieces))]
        starts = [0, *ends][:-1]
        scores, seen = [], set[tuple[int, int]]()
        for part in each.parts:
            inside = [p for p, a, b in zip(spoken, starts, ends, strict=True) if a < part[1] and b > part[0]]
            scores.append(0.0 if part in seen else sum(inside))
            seen.add(part)
        found.append(scores)
    return found


def _pieces_log_probs(
    generator: Generator, ids: torch.Tensor, mask: torch.Tensor, pieces: Sequence[int]
) -> list[float]:
    """How likely each piece of one answer was, in one pass."""
    if not pieces:
        return []
    decoder = generator.start(ids, mask)
    decoder.feed([0], [[*generator.first(ids), *pieces[:-1]]], [0])
    return piece_log_probs(generator, decoder, [pieces])[0]

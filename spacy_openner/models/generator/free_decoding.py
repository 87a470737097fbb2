"""Answers that `generate` of Hugging Face writes: constrained, or free, and then parsed and matched with the text."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch

from ...decoding.mention_search import locate_mentions
from ...decoding.tag_trie import O_TAG, AnswerWord, Tagset, allowed_subwords
from ...decoding.word_matching import WordErrors, WordMatch, match_words
from ...prompts.base import Prompt, TaggedWord, normalize_name
from .likelihood import subword_log_probs
from .model import Generator


class ParsedAnswer(NamedTuple):
    """The tags that a free answer gives to the words of its text.

    tags (list[int]): Of each word.
    parts (list[tuple[int, int]]): For each word the characters of the answer that give its tag; (0, 0) without any.
    errors (WordErrors): How the answer departed from the text.
    explanations (list[str]): Of the entities, in order; "" for one that is not explained.
    """

    tags: list[int]
    parts: list[tuple[int, int]]
    errors: WordErrors
    explanations: list[str]


def generate(
    generator: Generator,
    ids: torch.Tensor,
    mask: torch.Tensor,
    words: Sequence[Sequence[AnswerWord]],
    num_beams: int,
    tagsets: Sequence[Tagset] | None,
    explain: bool = False,
) -> list[list[int]]:
    """Generate answers: freely, or constrained to what `allowed_subwords` allows.

    ids, mask (torch.Tensor): The prompts. *Shape of each:* (texts, subwords).
    words (Sequence[Sequence[AnswerWord]]): The words of each text.
    num_beams (int): 1 for greedy decoding.
    tagsets (Sequence[Tagset] | None): The tags of each text, for constrained answers; None for free ones.
    explain (bool): Whether answers give explanations, and so may be as long as the model allows.
    RETURNS (list[list[int]]): The subwords of each answer, without those that start and end it.
    """
    start = ids.shape[1] if generator.causal else 1
    options: dict[str, Any] = {}
    if tagsets is not None:
        options["prefix_allowed_tokens_fn"] = lambda row, answer: allowed_subwords(
            words[row], tagsets[row], generator.end, answer[start:].tolist()
        )
    network = generator.network
    answers = network.generate(
        input_ids=ids.to(network.device),
        attention_mask=mask.to(network.device),
        max_new_tokens=_budget(generator, words, start, tagsets is not None, explain),
        num_beams=num_beams,
        do_sample=False,
        eos_token_id=generator.end,
        pad_token_id=generator.tokenizer.pad_token_id or 0,
        **options,
    )
    return [_until(row[start:].tolist(), generator.end) for row in answers]


def tags_from_subwords(answer: Sequence[int], words: Sequence[AnswerWord]) -> list[int]:
    """Return the tags that a constrained answer gives to its words."""
    tags, i = [], 0
    for word in words:
        i += len(word.forced)
        tag = next(
            t for t, subwords in enumerate(word.trie.sequences) if tuple(answer[i : i + len(subwords)]) == subwords
        )
        tags.append(tag)
        i += len(word.trie.sequences[tag])
    return tags


def parse_answer(
    generator: Generator, prompt: Prompt, answer: Sequence[int], words: list[str], labels: list[str]
) -> ParsedAnswer:
    """Find the tags that a free answer gives to the words of its text. Tags of unknown labels count as O.

    answer (Sequence[int]): Its subwords.
    words (list[str]): The words of the text.
    labels (list[str]): The types of the prompt.
    """
    text = decode_text(generator, answer)
    tagged = prompt.parse(text, labels)
    match = _match(generator, prompt, tagged, words)
    tags = _tags(prompt, tagged, match, labels)
    parts = [(0, 0) if i is None else (tagged[i].start, tagged[i].end) for i in match.indices]
    # As the answer spells them: the model's tokenizer may not have all letters.
    runs = [dict.fromkeys(match.indices[first:last]) for first, last, _ in Tagset(len(labels)).spans(tags)]
    entities = [" ".join(tagged[i].word for i in run if i is not None) for run in runs]
    return ParsedAnswer(tags, parts, match.errors, prompt.parse_explanations(text, entities))


def word_log_probs(
    generator: Generator,
    ids: torch.Tensor,
    mask: torch.Tensor,
    answers: Sequence[Sequence[int]],
    parsed: Sequence[ParsedAnswer],
) -> list[list[float]]:
    """Score words by the probability, among the whole vocabulary, of the subwords that gave their tags.

    answers (Sequence[Sequence[int]]): The subwords of each answer.
    RETURNS (list[list[float]]): Log probabilities; a part that tags several words counts at the first of them.
    """
    scores_per_text = []
    for row, (answer, reading) in enumerate(zip(answers, parsed, strict=True)):
        own = slice(row, row + 1)
        log_probs = _answer_log_probs(generator, ids[own], mask[own], answer)
        ends = [len(decode_text(generator, answer[: i + 1])) for i in range(len(answer))]
        starts = [0, *ends][:-1]
        scores, counted = [], set[tuple[int, int]]()
        for part in reading.parts:
            inside = [p for p, a, b in zip(log_probs, starts, ends, strict=True) if a < part[1] and b > part[0]]
            scores.append(0.0 if part in counted else sum(inside))
            counted.add(part)
        scores_per_text.append(scores)
    return scores_per_text


def decode_text(generator: Generator, answer: Sequence[int]) -> str:
    """Return the text of an answer."""
    text: str = generator.tokenizer.decode(list(answer), skip_special_tokens=True)
    return text


def _budget(
    generator: Generator, words: Sequence[Sequence[AnswerWord]], start: int, constrained: bool, explain: bool
) -> int:
    """Return the most subwords of an answer."""
    longest = max(sum(len(w.forced) + max(map(len, w.trie.sequences)) for w in text) for text in words) + 1
    if constrained:
        return longest
    # A free answer may be longer than the text.
    budget = longest + longest // 4 + 8
    return max(budget, generator.limit - (start if generator.causal else 0)) if explain else budget


def _until(subwords: list[int], end: int) -> list[int]:
    return subwords[: subwords.index(end)] if end in subwords else subwords


def _match(generator: Generator, prompt: Prompt, tagged: Sequence[TaggedWord], words: Sequence[str]) -> WordMatch:
    """Match the words of an answer with those of its text."""

    def retokenize(texts: Sequence[str]) -> list[str]:
        encoded = generator.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [text.strip() for text in generator.tokenizer.batch_decode(encoded, skip_special_tokens=True)]

    answer = [word.word for word in tagged]
    if prompt.repeats_text:
        return match_words(words, answer, retokenize)
    # Runs of words that are one entity, whatever its label.
    starts = [i for i, word in enumerate(tagged) if word.tag.startswith("B-")]
    return locate_mentions(words, answer, list(pairwise([*starts, len(tagged)])), retokenize)


def _tags(prompt: Prompt, tagged: Sequence[TaggedWord], match: WordMatch, labels: Sequence[str]) -> list[int]:
    """Return the tags of the words of a text, legal ones."""
    exact = {name: number for number, name in enumerate(prompt.tags(labels))}
    normalized = {normalize_name(name): number for name, number in reversed(exact.items())}
    tagset, tags = Tagset(len(labels)), list[int]()
    for i, index in enumerate(match.indices):
        written = "" if index is None else tagged[index].tag
        tag = exact.get(written, normalized.get(normalize_name(written), O_TAG))
        if tag and i and match.indices[i - 1] == index:
            # Two words of the text that the answer wrote as one.
            tag = tagset.entity(tagset.label(tag), 2)[-1]
        tags.append(tagset.legal(tag, tags[-1] if tags else O_TAG))
    return tags


def _answer_log_probs(
    generator: Generator, ids: torch.Tensor, mask: torch.Tensor, answer: Sequence[int]
) -> list[float]:
    """Return the log probability of each subword of one answer, in one pass."""
    if not answer:
        return []
    decoder = generator.start_decoder(ids, mask)
    decoder.feed([0], [[*generator.start_subwords(ids), *answer[:-1]]], [0])
    return subword_log_probs(generator, decoder, [answer])[0]

"""Constrained decoding: as one piece at a time, whatever the drafts, the batch, the window and the model."""

import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from spacy_openner.decoding.copy_constrained import decode, score_tags
from spacy_openner.decoding.tag_trie import AnswerWord, Tagset, TagTrie, allowed_subwords, only_tag, tag_mask
from spacy_openner.errors import SettingError
from spacy_openner.models.generator import checkpoint as generators
from spacy_openner.models.generator.decoder_cache import group_by_length
from spacy_openner.models.generator.free_decoding import generate
from spacy_openner.prompts.gner import GNERPrompt_v1
from tests.support import tiny_models as tiny
from tests.support.generator_case import answer_subwords

PROMPT = GNERPrompt_v1("Use the specific entity tags: {labels} and O. Sentence: {sentence}", "[INST] {prompt} [/INST]")
LABELS = ["person", "award", "city, town (populated place)"]
TEXTS = [text.split()[:9] for text in tiny.SENTENCES]


class Dice:
    """A decoder whose choices hang on all that it was fed, and on nothing else."""

    def __init__(self, n):
        self.fed = [[] for _ in range(n)]

    def feed(self, rows, pieces, keep):
        self.rows, self.base = rows, keep
        for row, new, n in zip(rows, pieces, keep, strict=True):
            assert len(self.fed[row]) >= n
            self.fed[row] = [*self.fed[row][:n], *new]

    def choice_log_probs(self, positions, allowed):
        found = []
        for (index, place), pieces in zip(positions, allowed, strict=True):
            before = self.fed[self.rows[index]][: self.base[index] + place + 1]
            assert len(before) == self.base[index] + place + 1
            values = np.array([throw(before, piece) for piece in pieces])
            found.append(values - np.logaddexp.reduce(values))
        return found


def throw(before, piece):
    return 3 * random.Random(hash((tuple(before[-8:]), piece))).random()


def one_by_one(words, tagset, first):
    said = []
    while (allowed := allowed_subwords(words, tagset, 0, said)) != [0]:
        said.append(max(allowed, key=lambda piece: throw([first, *said], piece)))
    return said


@pytest.mark.parametrize("window", [1, 2, 7, 1000])
@pytest.mark.parametrize("drafted", [False, True])
def test_equals_one_piece_at_a_time(window, drafted):
    rng = random.Random(window)
    for _ in range(25):
        n_labels = rng.randint(0, 5)
        labels = [(*(rng.randint(100, 104) for _ in range(rng.randint(1, 3))), 50 + i) for i in range(n_labels)]
        tags = [(1, 2, 9), *(tag for label in labels for tag in ((1, 3, 4, *label, 9), (1, 5, 4, *label, 9)))]
        trie = TagTrie(tags)
        texts = [
            [
                AnswerWord(
                    tuple(rng.randint(200, 220) for _ in range(rng.randint(0, 3))),
                    trie,
                    rng.choice(Tagset(n_labels).limits([0, 0, -1, 1])),
                )
                for _ in range(rng.randint(0, 25))
            ]
            for _ in range(rng.randint(1, 5))
        ]
        drafts = [[rng.randint(0, 2 * n_labels) for _ in words] for words in texts] if drafted else None
        n, first = [n_labels] * len(texts), [7] * len(texts)
        answers = decode(Dice(len(texts)), texts, n, first, drafts, window)
        for words, answer in zip(texts, answers, strict=True):
            assert answer_subwords(words, answer.tags) == one_by_one(words, Tagset(n_labels), 7)
            for word, (before, tag) in zip(words, pairwise([0, *answer.tags]), strict=True):
                assert Tagset(n_labels).allowed(before) & word.limit >> tag & 1
        rated = score_tags(Dice(len(texts)), texts, n, first, [answer.tags for answer in answers])
        assert rated == [pytest.approx(answer.log_probs) for answer in answers]


def test_tags_within_boundaries():
    """Stretches 0 and 2, a separator between them, then 3 right behind 2; the tags say one entity all the way."""
    tagset, stretches = Tagset(2), [0, 0, -1, 2, 2, 3, 3]
    limits = tagset.limits(stretches)
    assert limits == [0b1011, -1, 0b1, 0b1011, -1, 0b1011, -1]
    assert tagset.within(tagset.entity(1, 7), limits) == [3, 4, 0, 3, 4, 3, 4]
    assert tagset.within([0, 3, 3, 0, 1, 2, 0], limits) == [0, 3, 0, 0, 1, 1, 0]


def test_a_right_draft_takes_one_pass():
    trie = TagTrie([(1, 2), (1, 3, 4), (1, 5, 4)])
    words = [AnswerWord((10 + i,), trie) for i in range(30)]
    first = decode(Dice(1), [words], [1], [7])[0]
    again = decode(Dice(1), [words], [1], [7], [first.tags])[0]
    assert again.tags == first.tags
    assert (again.n_passes, first.n_passes > 1) == (1, True)
    assert again.n_fed < first.n_fed


class Sure(Dice):
    """A decoder that knows every word's label; where an entity cannot go on, it begins one."""

    def __init__(self, tags, trie):
        super().__init__(1)
        self.tags, self.trie = tags, trie

    def choice_log_probs(self, positions, allowed):
        found = []
        for (_, place), pieces in zip(positions, allowed, strict=True):
            before = self.fed[0][: self.base[0] + place + 1]
            start = max(i for i, piece in enumerate(before) if piece >= 100)
            tag, said = self.tags[before[start] - 100], before[start + 1 :]
            # I- before B- where both would do.
            likely = [self.trie.sequences[each] for each in (tag, tag - 1 if tag else 0)]
            best = [each[len(said)] for each in likely if each[: len(said)] == tuple(said)]
            values = np.array([-best.index(piece) if piece in best else -9.0 for piece in pieces])
            found.append(values - np.logaddexp.reduce(values))
        return found


def test_an_entity_of_many_words_takes_few_passes():
    """Its words are found to begin entities all in one pass; drafted as one, they are settled in the next ones."""
    trie = TagTrie([(1, 2), (1, 3, 5), (1, 4, 5), (1, 3, 6), (1, 4, 6)])
    words = [AnswerWord((100 + i,), trie) for i in range(30)]
    tags = [0, 0, 1, 2, 2, 2, 2, 0, 0, *Tagset(2).entity(1, 7), 0, 3, *[0] * 12]
    (answer,) = decode(Sure(tags, trie), [words], [2], [7])
    assert answer.tags == tags
    assert answer.n_passes <= 4


def test_the_worked_example():
    """As the module tells it: two passes for "Ann saw Oslo Fjord"."""
    trie = TagTrie([(1, 9), (2, 5, 9), (3, 5, 9)])
    words = [AnswerWord((100 + i,), trie) for i in range(4)]
    decoder = Sure([0, 0, 1, 2], trie)
    feeds = []
    feed = decoder.feed
    decoder.feed = lambda rows, subwords, keep: (
        feeds.append((*map(tuple, subwords), *keep)),
        feed(rows, subwords, keep),
    )
    (answer,) = decode(decoder, [words], [1], [7])
    assert answer.tags == [0, 0, 1, 2]
    # All of the draft up to the last choice; then what differs from it, behind what the first pass settled.
    assert feeds == [((7, 100, 1, 9, 101, 1, 9, 102, 1, 9, 103), 0), ((2, 5, 9, 103), 8)]
    assert (answer.n_passes, answer.n_fed) == (2, 15)


def test_tags_that_cannot_be_told_apart():
    with pytest.raises(ValueError, match="0, 1"):
        TagTrie([(1, 2), (1, 2, 3)])
    assert only_tag(tag_mask([3])) == 3
    assert only_tag(tag_mask([3, 4])) is None


@pytest.mark.parametrize(
    ("shared", "own", "n_labels"),
    [(5000, 0, 2), (0, 5000, 2), (2500, 2500, 3), (0, 2, 1000), (3000, 1, 40)],
)
def test_labels_of_thousands_of_subwords(shared, own, n_labels):
    labels = [(*[7] * shared, 1000 + i, *[8] * own) for i in range(n_labels)]
    trie = TagTrie([(1, 2, 9), *(tag for label in labels for tag in ((1, 3, *label, 9), (1, 5, *label, 9)))])
    tagset = Tagset(n_labels)
    last = 2 * n_labels
    decisions = trie.path(last, tagset.allowed(last - 1)).decisions
    assert [decision.offset for decision in decisions] == [1]
    assert [decision.offset for decision in trie.path(1, tagset.allowed(0)).decisions] == [1, 2 + shared]
    words, wanted = [AnswerWord((100,), trie)], [100, *trie.sequences[last - 1], 0]
    for n in (0, 1, 2, 3, 3 + shared, len(wanted) - 1):
        allowed = allowed_subwords(words, tagset, 0, wanted[:n])
        assert wanted[n] in allowed
        assert len(allowed) == {2: 1 + 1, 3 + shared: n_labels}.get(n, 1)


@pytest.fixture(scope="module", params=tiny.GENERATORS)
def generator(request, tmp_path_factory):
    return generators.load(tiny.saved_generator(request.param, tmp_path_factory.mktemp(request.param)))


def asked(generator, texts):
    """The prompts and the words of some texts."""
    ids, mask = generator.encode_prompts([PROMPT.render(words, LABELS, causal=generator.causal) for words in texts])
    tags = PROMPT.tags(LABELS)
    return ids, mask, [generator.chunks.encode_words(words, tags, PROMPT.chunk, generator.causal) for words in texts]


def decoded(generator, texts, drafts=None, window=512):
    """Answers of the engine, all texts in one batch."""
    ids, mask, words = asked(generator, texts)
    with torch.inference_mode():
        decoder, n = generator.start_decoder(ids, mask), [len(LABELS)] * len(texts)
        return words, decode(decoder, words, n, generator.start_subwords(ids), drafts, window)


def test_equals_generate_id_for_id(generator):
    ids, mask, _ = asked(generator, TEXTS)
    words, answers = decoded(generator, TEXTS)
    said = generate(generator, ids, mask, words, 1, [Tagset(len(LABELS))] * len(TEXTS))
    assert [answer_subwords(w, a.tags) for w, a in zip(words, answers, strict=True)] == said
    assert len({tag for answer in answers for tag in answer.tags}) > 1
    # In batches of one, too, and from wrong drafts through narrow windows.
    alone = [decoded(generator, [text])[1][0].tags for text in TEXTS]
    assert alone == [answer.tags for answer in answers]
    rng = random.Random(0)
    drafts = [[rng.randint(0, 2 * len(LABELS)) for _ in text] for text in TEXTS]
    for window in (3, 512):
        assert [a.tags for a in decoded(generator, TEXTS, drafts, window)[1]] == alone


@pytest.mark.parametrize("cost", [0, 5, 10**6])
def test_whoever_shares_a_pass_answers_are_the_same(generator, cost, monkeypatch):
    """From each row alone to all together; texts of very different lengths."""
    texts = [TEXTS[0] * 3, TEXTS[1][:1], TEXTS[2], TEXTS[3][:4], TEXTS[4] * 2]
    alone = [decoded(generator, [text])[1][0] for text in texts]
    monkeypatch.setattr("spacy_openner.models.generator.decoder_cache.PASS_COST", cost)
    together = decoded(generator, texts)[1]
    assert [answer.tags for answer in together] == [answer.tags for answer in alone]
    assert [answer.n_fed for answer in together] == [answer.n_fed for answer in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.log_probs == pytest.approx(other.log_probs, abs=1e-4)


def test_rows_are_grouped_so_that_passes_cost_least():
    def cost(groups, sizes, each):
        return sum(each + len(group) * max(sizes[i] for i in group) for group in groups)

    rng = random.Random(0)
    for _ in range(30):
        sizes, each = [rng.randint(1, 90) for _ in range(rng.randint(1, 7))], rng.choice([0, 8, 32, 500])
        groups = group_by_length(sizes, each)
        assert sorted(i for group in groups for i in group) == list(range(len(sizes)))
        # Against all ways to split the rows by size.
        order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
        cuts = [[i for i in range(1, len(order)) if mask >> i & 1] for mask in range(0, 2 ** len(order), 2)]
        ways = [[order[a:b] for a, b in zip([0, *cut], [*cut, len(order)], strict=True)] for cut in cuts]
        assert cost(groups, sizes, each) == min(cost(way, sizes, each) for way in ways)
    assert group_by_length([], 32) == []


def test_scores_are_the_probabilities_of_the_choices(generator):
    """Against the model's own forward pass over one whole answer."""
    words, (answer,) = decoded(generator, TEXTS[:1])
    ids, _, _ = asked(generator, TEXTS[:1])
    said = answer_subwords(words[0], answer.tags)
    first = generator.start_subwords(ids)[0]
    with torch.inference_mode():
        if generator.causal:
            fed = torch.tensor([[*ids[0].tolist(), *said[:-1]]])
            logits = generator.network(input_ids=fed).logits[0, ids.shape[1] - 1 :]
        else:
            fed = torch.tensor([[first, *said[:-1]]])
            logits = generator.network(input_ids=ids, decoder_input_ids=fed).logits[0]
    place, previous, expected = 0, 0, []
    for word, tag in zip(words[0], answer.tags, strict=True):
        path, total = word.trie.path(tag, Tagset(len(LABELS)).allowed(previous)), 0.0
        for decision in path.decisions:
            among = logits[place + len(word.forced) + decision.offset][list(decision.subwords)].log_softmax(0)
            total += float(among[decision.chosen])
        expected.append(total)
        place, previous = place + len(word.forced) + len(path.subwords), tag
    assert answer.log_probs == pytest.approx(expected, abs=1e-3)


def test_chunks_are_read_as_the_whole_answer_is(generator):
    assert generator.chunks.independent
    tags, tokenizer = PROMPT.tags(LABELS), generator.tokenizer
    for text in [t for t in TEXTS if "😀" not in t and all(w.isascii() for w in t)]:
        words = generator.chunks.encode_words(text, tags, PROMPT.chunk, generator.causal)
        for shift in range(len(tags)):
            chosen = [(i + shift) % len(tags) for i in range(len(text))]
            answer = PROMPT.answer(text, [tags[i] for i in chosen])
            lead = " " if generator.chunks.spaced and generator.causal else ""
            assert answer_subwords(words, chosen) == tokenizer(lead + answer, add_special_tokens=False)["input_ids"]


def test_labels_that_read_the_same_are_refused(tmp_path):
    chunks = generators.load(tiny.saved_generator("bert", tmp_path)).chunks
    with pytest.raises(SettingError, match="B-Person"):
        chunks.encode_words(["a"], PROMPT.tags(["person", "Person"]), PROMPT.chunk)

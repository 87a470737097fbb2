"""A reader that mixes annotated corpora, each of which knows its own types."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.vocab import Vocab

from ..data.docbin import LABELS_SUFFIX, SHARD_NUMBER, decode_docs, load_docbin
from ..data.naming import read_types
from ..errors import error, warn
from ..labels import LabelSet, get_labels, set_labels
from ..scoring.gold import gold_spans

SETTINGS = ("path", "weight", "limit", "weights", "limits", "labels")


@dataclass(frozen=True)
class Source:
    """One corpus of a mixture: texts that were annotated with the same types.

    files (tuple[Path, ...]): `.spacy` files.
    weight (float): How often each text is read in one pass: 0.5 for a random half, 3 for three times.
    limit (int): The most texts that are used, a fixed random choice; 0 for all.
    labels (tuple[tuple[str, str], ...] | None): The types that the corpus annotates, with descriptions; None for
        those that occur in it.
    """

    files: tuple[Path, ...]
    weight: float = 1.0
    limit: int = 0
    labels: tuple[tuple[str, str], ...] | None = None


def OpenNERCorpus_v1(
    sources: dict[str, dict[str, Any]],
    replay: dict[str, dict[str, Any]] | None = None,
    replay_share: float = 0.2,
    spans_key: str = "openner",
    exclude_labels: list[str] | None = None,
    max_words: int = 0,
    shuffle: bool = True,
    seed: int = 0,
    shard: int = 0,
    shards: int = 1,
    annotate_labels: bool = True,
) -> "OpenNERCorpus":
    """Read and mix corpora. Registered as "spacy-openner.OpenNERCorpus.v1".

    sources (dict[str, dict[str, Any]]): Name -> `path`, a file or a directory of corpora, and
        optionally `weight`, `limit`, `labels` (see `Source`), and `weights` and `limits` of single corpora of a
        directory, by their names. A corpus lists its types in `NAME.labels.json` beside
        `NAME.spacy` (or `NAME-00001.spacy` and so on); without a list, the types that occur in it are taken. A
        text that was stored with types of its own (`doc._.openner_labels`) keeps these; where all are, an empty list
        saves looking for types.
    replay (dict[str, dict[str, Any]] | None): More sources, of what must not be forgotten.
    replay_share (float): The share of `replay` in all texts read; 0 to leave it out.
    spans_key (str): Where gold spans are.
    exclude_labels (list[str] | None): Types that are dropped from the annotation and from the lists of types.
    max_words (int): Longer texts are left out, and counted in a warning; 0 for any length.
    shuffle (bool): Mix the texts of all sources; they follow one another otherwise, weights and all.
    seed (int): Of the mixture.
    shard, shards (int): Read every `shards`-th text, from number `shard` on, so that several readers share a corpus.
    annotate_labels (bool): Let the components look for the source's own types in each text, not for their own labels.
    RETURNS (Callable): Yields examples; each call is one pass, mixed anew.
    RAISES (SettingError): For a value that is not allowed.
    """
    if not 0 <= replay_share < 1:
        raise error("O001", name="replay_share", value=replay_share, allowed="a number from 0 to below 1")
    if not 0 <= shard < shards:
        raise error("O001", name="shard", value=shard, allowed=f"0 to {shards - 1} (shards)")
    return OpenNERCorpus(
        _sources(sources),
        _sources(replay or {}) if replay_share else [],
        replay_share,
        Reading(spans_key, frozenset(exclude_labels or ()), max_words, annotate_labels),
        shuffle,
        seed,
        range(shard, 1 << 62, shards),
    )


@dataclass(frozen=True)
class Reading:
    """How one text becomes an example; see `OpenNERCorpus_v1`."""

    spans_key: str
    exclude_labels: frozenset[str]
    max_words: int
    annotate_labels: bool


class OpenNERCorpus:
    """Implement `OpenNERCorpus_v1`. One file of each source is in memory at a time."""

    def __init__(
        self,
        sources: list[Source],
        replay: list[Source],
        replay_share: float,
        reading: Reading,
        shuffle: bool,
        seed: int,
        numbers: range,
    ) -> None:
        self.sources, self.replay, self.replay_share = sources, replay, replay_share
        self.reading, self.shuffle, self.numbers = reading, shuffle, numbers
        self._random = random.Random(seed)
        self._seed = seed
        self._known: dict[Source, tuple[dict[Path, list[int]], dict[str, str]]] = {}
        if not self.sources:
            raise error("O001", name="sources", value=sources, allowed="at least one corpus")

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Read all sources once, by their weights.

        YIELDS (Example): The reference has its gold spans under `spans_key`, the best flat set as `ents`, and
            the types of its source as `_.openner_labels`.
        """
        shares = [(source, self._share(source)) for source in self.sources]
        again = [(source, self._share(source)) for source in self.replay]
        if not any(n for _, n in shares):
            raise error("O020", paths=[str(file) for source in self.sources for file in source.files][:5])
        wanted = round(sum(n for _, n in shares) * self.replay_share / (1 - self.replay_share))
        for number, doc in enumerate(self._interleaved(shares + _scaled(again, wanted), nlp.vocab)):
            if number in self.numbers:
                yield self._example(nlp, doc)

    def labels(self, source: Source) -> dict[str, str]:
        """The types that a source annotates, with descriptions, the excluded ones aside."""
        return self._look(source)[1]

    def _interleaved(self, shares: Sequence[tuple[Source, int]], vocab: Vocab) -> Iterator[Doc]:
        """Yield texts of all sources, each as often as its share says."""
        streams = [self._stream(source, n, vocab) for source, n in shares]
        for i in self._mixed([i for i, (_, n) in enumerate(shares) for _ in range(n)]):
            yield next(streams[i])

    def _share(self, source: Source) -> int:
        """How many texts of a source one pass has."""
        n = sum(map(len, self._look(source)[0].values()))
        return round((min(n, source.limit) if source.limit else n) * source.weight)

    def _look(self, source: Source) -> tuple[dict[Path, list[int]], dict[str, str]]:
        """The numbers of the texts that are read of each file, and the source's types; looked up once."""
        if source not in self._known:
            numbers = {file: self._short(file) for file in source.files}
            types = dict(source.labels or ())
            if source.labels is None:
                docs = (doc for file in source.files for doc in self._docs(file, Vocab(), numbers[file]).values())
                annotated = {span.label_ for doc in docs for span in gold_spans(doc, self.reading.spans_key)}
                types = {label: label for label in sorted(annotated)}
            self._known[source] = (numbers, self._kept(types.items()))
        return self._known[source]

    def _stream(self, source: Source, n: int, vocab: Vocab) -> Iterator[Doc]:
        """Yield `n` texts of a source: all of them as often as that goes, and of the rest a random choice.

        Each file is decoded once, and only what is taken of it.
        """
        numbers, types = self._look(source)
        pool = [(file, i) for file, listed in numbers.items() for i in listed]
        if source.limit and source.limit < len(pool):
            pool = sorted(random.Random(self._seed).sample(pool, source.limit))
        rounds, rest = divmod(n, max(1, len(pool)))
        taken: dict[Path, list[int]] = {file: [] for file in numbers}
        for file, i in pool * rounds + sorted(self._random.sample(pool, rest)):
            taken[file].append(i)
        for file in self._mixed(list(numbers)):
            docs = self._docs(file, vocab, taken[file])
            for i in self._mixed(taken[file]):
                own = get_labels(docs[i])
                set_labels(docs[i], types if own is None else self._kept(own.items()))
                yield docs[i]

    def _kept(self, types: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Types with descriptions, the excluded ones aside."""
        return {label: text for label, text in types if label not in self.reading.exclude_labels}

    def _mixed(self, items: list[Any]) -> list[Any]:
        """The items in random order, if the corpus is mixed."""
        return self._random.sample(items, len(items)) if self.shuffle else items

    def _short(self, file: Path) -> list[int]:
        """The numbers of a file's texts that are not too long."""
        lengths = list(map(len, load_docbin(file).tokens))
        most = self.reading.max_words or max(lengths, default=0)
        short = [i for i, length in enumerate(lengths) if length <= most]
        if len(short) < len(lengths):
            warn("W008", path=str(file), n=len(lengths) - len(short), most=most)
        return short

    def _docs(self, file: Path, vocab: Vocab, numbers: Iterable[int]) -> dict[int, Doc]:
        """Decode texts of a file, by their numbers, without the excluded types."""
        chosen = sorted(set(numbers))
        docs = list(decode_docs(_part(load_docbin(file), chosen), vocab, file)) if chosen else []
        for doc in docs:
            _without(doc, self.reading)
        return dict(zip(chosen, docs, strict=True))

    def _example(self, nlp: Language, doc: Doc) -> Example:
        if doc.has_unknown_spaces:
            predicted = Doc(nlp.vocab, [token.text for token in doc])
        else:
            predicted = nlp.make_doc(doc.text)
        if self.reading.annotate_labels:
            set_labels(predicted, get_labels(doc))
        return Example(predicted, doc)


def _part(stored: DocBin, numbers: Sequence[int]) -> DocBin:
    """Some texts of a file. Decoding is slow, above all of spans and own types, so that it is done for these alone."""
    for name in ("tokens", "spaces", "cats", "span_groups", "user_data", "flags"):
        values = getattr(stored, name)
        setattr(stored, name, [values[i] for i in numbers] if values else values)
    return stored


def _without(doc: Doc, reading: Reading) -> None:
    """Drop the excluded types from a gold doc."""
    if not reading.exclude_labels:
        return
    if reading.spans_key in doc.spans:
        kept = [span for span in doc.spans[reading.spans_key] if span.label_ not in reading.exclude_labels]
        doc.spans[reading.spans_key] = kept
    doc.ents = [span for span in doc.ents if span.label_ not in reading.exclude_labels]


def _scaled(shares: Sequence[tuple[Source, int]], wanted: int) -> list[tuple[Source, int]]:
    """Scale shares so that they sum up to about `wanted`."""
    total = sum(n for _, n in shares)
    return [(source, round(n * wanted / total)) for source, n in shares] if total else []


def _sources(given: Mapping[str, Mapping[str, Any]]) -> list[Source]:
    """Read what a config says about sources."""
    sources: list[Source] = []
    for name, settings in given.items():
        unknown = [key for key in settings if key not in SETTINGS]
        if unknown or not isinstance(settings.get("path"), str | Path):
            raise error(
                "O001", name=f"sources.{name}", value=dict(settings), allowed="`path` and " + ", ".join(SETTINGS)
            )
        corpora = _corpora(Path(settings["path"]))
        for key in ("weights", "limits"):
            missing = set(settings.get(key, {})) - {stem.name for stem in corpora}
            if missing:
                known = ", ".join(stem.name for stem in corpora)
                raise error("O001", name=f"sources.{name}.{key}", value=sorted(missing), allowed=known)
        for stem, files in corpora.items():
            weight = settings.get("weights", {}).get(stem.name, settings.get("weight", 1.0))
            limit = settings.get("limits", {}).get(stem.name, settings.get("limit", 0))
            _check(f"{name} ({stem.name})", weight, limit)
            labels = settings["labels"] if "labels" in settings else _listed(stem)
            pairs = None if labels is None else _pairs(LabelSet(labels))
            sources.append(Source(tuple(files), float(weight), limit, pairs))
    return sources


def _check(name: str, weight: Any, limit: Any) -> None:
    if isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0:
        raise error("O001", name=f"the weight of {name}", value=weight, allowed="a number from 0")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise error("O001", name=f"the limit of {name}", value=limit, allowed="a whole number from 0")


def _corpora(path: Path) -> dict[Path, list[Path]]:
    """The corpora under a path: files by their names without the number of the shard.

    RAISES (SettingError): When there are none.
    """
    files = sorted(path.rglob("*.spacy")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise error("O010", path=str(path))
    corpora: dict[Path, list[Path]] = {}
    for file in files:
        corpora.setdefault(file.with_name(SHARD_NUMBER.sub("", file.stem)), []).append(file)
    return corpora


def _listed(stem: Path) -> Any:
    """The types that the file beside a corpus lists; None without one."""
    file = stem.with_name(stem.name + LABELS_SUFFIX)
    return read_types(file) if file.is_file() else None


def _pairs(labels: LabelSet) -> tuple[tuple[str, str], ...]:
    return tuple(labels.items())

"""Convert texts with inline annotation of open types to a corpus in which every text knows its own types.

    python scripts/open_types.py assets/open_types corpus

The form is explained in assets/open_types/README.md. A text's list of types holds those that are in it, those that
its writer says are absent, and some that are absent in all likelihood: types of other texts that are not close to any
of its own. Two types are close when one span has both, or when both share spans with a third.

What shares a broad type with a text's own types is close to them, and yet most worth asking for: whether an actor is
taken for a "scientist". families.json groups finer types of some broad ones; of what a text tells the finer type
throughout, types of other families are absent.
"""

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import spacy
import typer
from spacy.tokens import Doc, DocBin

from spacy_openner.labels import set_labels

NAME = "open_types"
FAMILIES = "families.json"
# Draws of types of other families for a text.
SISTERS = 5
Families = Mapping[str, Sequence[Sequence[str]]]
TYPES = re.compile(r"\]\(([^()\[\]]+)\)")


class Text(NamedTuple):
    """A text. spans: First character, end, type. absent: Types that it does not hold."""

    text: str
    spans: list[tuple[int, int, str]]
    absent: list[str]

    @property
    def present(self) -> list[str]:
        """The types of its spans, each once."""
        return list(dict.fromkeys(label for _, _, label in self.spans))

    @property
    def mentions(self) -> dict[tuple[int, int], set[str]]:
        """The types of each mention."""
        mentions: dict[tuple[int, int], set[str]] = defaultdict(set)
        for start, end, label in self.spans:
            mentions[start, end].add(label)
        return mentions


def parse(line: str) -> Text:
    """Read one line: `[mention](type; type) ... || absent type, absent type`.

    RAISES (ValueError): For a line of another form.
    """
    marked, bars, absent = line.rpartition("||")
    if not bars:
        raise ValueError("no list of absent types after ||")
    text, spans, starts = "", [], []
    marked = marked.strip()
    i = 0
    while i < len(marked):
        if marked[i] == "[":
            starts.append(len(text))
        elif marked[i] == "]":
            types = TYPES.match(marked, i)
            if types is None or not starts:
                raise ValueError(f"a stray bracket: {marked[i : i + 20]}")
            start = starts.pop()
            spans += [(start, len(text), label.strip()) for label in types[1].split(";")]
            i = types.end() - 1
        else:
            text += marked[i]
        i += 1
    if starts:
        raise ValueError("a bracket is not closed")
    present = {label for _, _, label in spans}
    return Text(text, spans, [label.strip() for label in absent.split(",") if label.strip() not in present])


def close_types(texts: Iterable[Text]) -> dict[str, set[str]]:
    """For each type, those that share a span with it or with one that does."""
    direct: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        for together in text.mentions.values():
            for label in together:
                direct[label] |= together
    return {label: set().union(*(direct[other] for other in others)) for label, others in direct.items()}


def sisters(text: Text, families: Families) -> list[str]:
    """The types of other families than a text's own, of broad types whose finer type is told at each mention."""
    absent: set[str] = set()
    for broad, groups in families.items():
        finer = {label for group in groups for label in group}
        if all(labels & finer for labels in text.mentions.values() if broad in labels):
            own = [set(group) for group in groups if not set(group).isdisjoint(text.present)]
            absent |= finer.difference(*own) if own else set()
    return sorted(absent.difference(text.present, text.absent))


def annotated_types(
    text: Text, close: Mapping[str, set[str]], pool: Sequence[str], more: int, draw: random.Random
) -> list[str]:
    """The types that a text is asked for: its own, the absent ones, and `more` from the pool."""
    known = text.present + text.absent
    banned = set(known).union(*(close[label] for label in text.present))
    drawn = [label for label in draw.sample(pool, min(len(pool), 3 * more)) if label not in banned]
    return list(dict.fromkeys(known + drawn))[: len(known) + more]


def to_docs(texts: Sequence[Text], more: int, seed: int, families: Families | None = None) -> Iterable[Doc]:
    """Make gold docs with spans under `openner` and their own lists of types."""
    nlp, draw, close = spacy.blank("en"), random.Random(seed), close_types(texts)
    counts = Counter(label for text in texts for label in text.present)
    # Frequent types weigh more, as in what users ask for, but rare ones have their turn.
    pool = [label for label in sorted(counts) for _ in range(min(counts[label], 20))]
    for text in texts:
        # Politicians are asked for more often than logicians are.
        near = sisters(text, families or {})
        beside = draw.choices(near, [min(counts[label], 400) + 1 for label in near], k=SISTERS) if near else []
        text = text._replace(absent=list(dict.fromkeys(text.absent + beside)))
        doc = nlp.make_doc(text.text)
        spans = [doc.char_span(s, e, label=label, alignment_mode="expand") for s, e, label in text.spans]
        doc.spans["openner"] = spans
        set_labels(doc, annotated_types(text, close, pool, more, draw))
        yield doc


def read(folder: Path) -> list[Text]:
    """Read all files of a directory.

    RAISES (typer.BadParameter): Naming the line that is not well formed.
    """
    texts = []
    for file in sorted(folder.glob("*.txt")):
        for number, line in enumerate(file.read_text(encoding="utf8").splitlines(), 1):
            if line.strip():
                try:
                    texts.append(parse(line))
                except ValueError as problem:
                    raise typer.BadParameter(f"{file}, line {number}: {problem}") from problem
    return texts


def main(
    texts: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A directory of .txt files.")],
    corpus: Annotated[Path, typer.Argument(help="Gets train/ and dev/.")],
    more: Annotated[int, typer.Option(help="Absent types that are added to each text's list.")] = 15,
    dev: Annotated[int, typer.Option(help="Every how-manieth text is kept for dev; 0 for none.")] = 40,
    seed: Annotated[int, typer.Option(help="Of the choice of absent types.")] = 0,
) -> None:
    """Convert."""
    families = json.loads(path.read_text(encoding="utf8")) if (path := texts / FAMILIES).exists() else {}
    docs = list(to_docs(read(texts), more, seed, families))
    for split in ("train", "dev"):
        chosen = [doc for i, doc in enumerate(docs) if (bool(dev) and i % dev == 0) == (split == "dev")]
        target = corpus / split / f"{NAME}.spacy"
        target.parent.mkdir(parents=True, exist_ok=True)
        DocBin(docs=chosen, attrs=["ORTH", "SPACY"], store_user_data=True).to_disk(target)
        # Each text has its own list: none is wanted of the whole.
        target.with_name(f"{NAME}.labels.json").write_text("{}\n", encoding="utf8")
        n_spans = sum(len(doc.spans["openner"]) for doc in chosen)
        typer.echo(f"{target}: {len(chosen)} texts, {n_spans} spans")


if __name__ == "__main__":
    typer.run(main)

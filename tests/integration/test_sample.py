"""The sample corpus in assets/sample keeps the promises of its README."""

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
import spacy

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample"
DOMAINS = ["science", "business", "music"]
SPLITS = ["train", "dev"]


def read(domain, split):
    return [json.loads(line) for line in (SAMPLE / domain / f"{split}.jsonl").read_text(encoding="utf8").splitlines()]


def read_labels(domain):
    return json.loads((SAMPLE / domain / "labels.json").read_text(encoding="utf8"))


def rows_of(domain):
    return [row for split in SPLITS for row in read(domain, split)]


def count_nested(row):
    """Count the spans that lie inside another span of the sentence."""
    spans = row["spans"]
    return sum(any(o is not s and o[0] <= s[0] and s[1] <= o[1] for o in spans) for s in spans)


def test_size():
    assert sorted(path.name for path in SAMPLE.iterdir() if path.is_dir()) == sorted(DOMAINS)
    assert sum(len(rows_of(domain)) for domain in DOMAINS) >= 80
    types = Counter(label for domain in DOMAINS for label in read_labels(domain))
    assert len(types) >= 15
    assert max(types.values()) > 1, "some types are shared between domains"
    assert min(types.values()) == 1, "some types belong to one domain"


@pytest.mark.parametrize("domain", DOMAINS)
def test_labels_are_described_and_used(domain):
    labels = read_labels(domain)
    assert all(label == label.lower().strip() and text.endswith(".") for label, text in labels.items())
    for split, least in zip(SPLITS, (2, 1), strict=True):
        counts = Counter(label for row in read(domain, split) for *_, label in row["spans"])
        assert set(counts) == set(labels)
        assert min(counts.values()) >= least


@pytest.mark.parametrize("domain", DOMAINS)
def test_spans(domain):
    for row in rows_of(domain):
        assert set(row) == {"tokens", "spans"}
        spans = [(start, end) for start, end, _ in row["spans"]]
        assert all(0 <= start < end <= len(row["tokens"]) for start, end in spans), row
        assert len(set(spans)) == len(spans), row
        for (a, b), (c, d) in combinations(spans, 2):
            assert b <= c or d <= a or (a <= c and d <= b) or (c <= a and b <= d), f"crossing spans: {row}"


@pytest.mark.parametrize("domain", DOMAINS)
def test_variety(domain):
    rows = rows_of(domain)
    assert any(not row["spans"] for row in rows), "sentences without an entity"
    assert sum(count_nested(row) > 0 for row in rows) >= 4
    assert all(6 <= len(row["tokens"]) <= 35 for row in rows)


def test_no_sentence_twice():
    counts = Counter(" ".join(row["tokens"]).lower() for domain in DOMAINS for row in rows_of(domain))
    assert [text for text, n in counts.items() if n > 1] == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_tokens_are_those_of_spacy(domain):
    """Splitting the tokens joined by spaces again changes nothing: no token is one that spaCy would have split."""
    nlp = spacy.blank("en")
    for row in rows_of(domain):
        assert [token.text for token in nlp(" ".join(row["tokens"]))] == row["tokens"]


def test_readme_counts():
    readme = (SAMPLE / "README.md").read_text(encoding="utf8")
    totals = Counter()
    for domain in DOMAINS:
        train, dev = (len(read(domain, split)) for split in SPLITS)
        rows = rows_of(domain)
        spans, nested = sum(len(row["spans"]) for row in rows), sum(map(count_nested, rows))
        assert f"| `{domain}` | {train} + {dev} | {spans} | {nested} | {len(read_labels(domain))} |" in readme
        totals.update(train=train, dev=dev, spans=spans, nested=nested)
    types = {label for domain in DOMAINS for label in read_labels(domain)}
    cells = f"{totals['train']} + {totals['dev']} | {totals['spans']} | {totals['nested']} | {len(types)} different"
    assert f"| All | {cells} |" in readme


def test_readme_example():
    readme = (SAMPLE / "README.md").read_text(encoding="utf8")
    example = json.loads(re.search(r"```json\n(.*?)```", readme, re.DOTALL).group(1))
    found = {label: " ".join(example["tokens"][start:end]) for start, end, label in example["spans"]}
    assert found == {"university": "University of Oslo", "city": "Oslo"}

"""Conversion: each format gives the same spans, what is written can be read back, and nothing vanishes uncounted."""

import gzip
import json
import re

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Corpus
from typer.testing import CliRunner

from spacy_openner.cli.app import app
from spacy_openner.cli.convert import Format
from spacy_openner.data import files
from spacy_openner.data.convert import convert
from spacy_openner.data.formats import (
    READERS,
    detect_format,
    read,
    read_brat,
    read_columns,
    read_gliner,
    read_jsonl,
    read_spacy,
)
from spacy_openner.data.naming import natural_label, read_label_map, read_types
from spacy_openner.data.texts import AnnotatedText, Finding, Tally
from spacy_openner.errors import DataError, OpenNERWarning, SettingError, TextError

WORDS = ["Kim", "Lee", "met", "Bo", "Ng", "in", "Oslo"]
SPANS = [(0, 2, "PER"), (3, 4, "PER"), (4, 5, "PER"), (6, 7, "LOC")]
SCHEMES = {
    "iob1": "I-PER I-PER O I-PER B-PER O I-LOC",
    "iob2": "B-PER I-PER O B-PER B-PER O B-LOC",
    "bioes": "B-PER E-PER O S-PER S-PER O S-LOC",
    "bilou": "B-PER L-PER O U-PER U-PER O U-LOC",
    "bmewo": "B-PER E-PER O W-PER W-PER O W-LOC",
}
RECORDS = [
    {"tokens": ["東京", "タワー", "😀", "naïve"], "spans": [[0, 2, "building"], [0, 1, "city"], [0, 1, "place"]]},
    {"tokens": ["Nothing", "here"], "spans": []},
    {"tokens": ["a", "b", "c"], "spans": [[0, 2, "x"], [1, 3, "x"]]},
]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def lines(records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def columns(words, tags, sep=" "):
    return "".join(f"{word}{sep}{tag}\n" for word, tag in zip(words, tags, strict=True)) + "\n"


def plain(texts):
    return [(list(text.tokens), sorted(text.spans)) for text in texts]


def docs(path):
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def spans(doc, key="openner"):
    return [(span.start, span.end, span.label_) for span in doc.spans[key]]


# Columns


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_tag_scheme_gives_the_same_spans(scheme, tmp_path):
    path = write(tmp_path / "a.conll", columns(WORDS, SCHEMES[scheme].split()) * 2)
    tally = Tally()
    texts = list(read_columns(path, tally=tally))
    assert plain(texts) == [(WORDS, SPANS)] * 2
    assert tally == Tally()
    assert [text.starts_doc for text in texts] == [True, False]
    assert [text.where for text in texts] == [f"{path}, line 1", f"{path}, line 9"]


def test_long_entities_in_every_scheme(tmp_path):
    for tags in ("I-X I-X I-X", "B-X I-X I-X", "B-X I-X E-X", "B-X I-X L-X", "B-X M-X E-X"):
        path = write(tmp_path / "a.conll", columns("abc", tags.split()))
        assert plain(read_columns(path)) == [(["a", "b", "c"], [(0, 3, "X")])]


def encode(flat, length, scheme):
    """Write flat spans as tags."""
    first, last, single = {"iob2": "BIB", "bioes": "BES", "bilou": "BLU"}[scheme]
    tags = ["O"] * length
    for start, end, label in flat:
        tags[start:end] = [f"I-{label}"] * (end - start)
        tags[start], tags[end - 1] = f"{first}-{label}", f"{last}-{label}"
        if end - start == 1:
            tags[start] = f"{single}-{label}"
        elif last == "I":
            tags[end - 1] = f"I-{label}"
    return tags


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(["A", "B-C", "d e"])), max_size=5))
def test_tags_of_any_flat_spans_are_read_back(tmp_path_factory, pieces):
    flat, end = [], 0
    for gap, width, label in pieces:
        flat.append((end + gap, end + gap + width, label))
        end += gap + width
    words = [f"w{i}" for i in range(end + 1)]
    for scheme in ("iob2", "bioes", "bilou"):
        path = write(tmp_path_factory.getbasetemp() / "tags", columns(words, encode(flat, end + 1, scheme), "\t"))
        tally = Tally()
        assert plain(read_columns(path, tally=tally)) == [(words, flat)]
        assert not tally.repaired


@pytest.mark.parametrize(
    ("tags", "expected", "repaired"),
    [
        ("B-X O I-X", [(0, 1, "X"), (2, 3, "X")], {"tag that continues no entity, read as a start": 1}),
        ("B-X I-Y O", [(0, 1, "X"), (1, 2, "Y")], {"tag that continues no entity, read as a start": 1}),
        ("S-X E-X I-Y", [(0, 1, "X"), (1, 2, "X"), (2, 3, "Y")], None),
        ("B-X O U-X", [(0, 1, "X"), (2, 3, "X")], {"entity without an end tag, read as ended": 1}),
        ("B-X S-X O", [(0, 1, "X"), (1, 2, "X")], {"entity without an end tag, read as ended": 1}),
        ("I-X I-Y O", [(0, 1, "X"), (1, 2, "Y")], {}),  # IOB1
        ("B I O", [(0, 2, "")], {}),
        ("O O O", [], {}),
    ],
)
def test_broken_sequences_are_read_like_conlleval_and_counted(tags, expected, repaired, tmp_path):
    path, tally = write(tmp_path / "a.conll", columns("abc", tags.split())), Tally()
    assert plain(read_columns(path, tally=tally)) == [(["a", "b", "c"], expected)]
    if repaired is None:
        repaired = {
            "tag that continues no entity, read as a start": 2,
            "entity without an end tag, read as ended": 1,
        }
    assert {reason: found.count for reason, found in tally.repaired.items()} == repaired
    assert all(found.example == f"{path}, line 1" for found in tally.repaired.values())


def test_documents_comments_and_hash_signs(tmp_path):
    text = (
        "-DOCSTART- -X- -X- O\n\n# sent_id 1\n# text I am here O\nKim NNP I-NP B-PER\r\n\n"
        "# NN I-NP O\n#tag NN I-NP B-X\n\n\n-DOCSTART-\nBo NNP I-NP B-PER"
    )
    texts = list(read_columns(write(tmp_path / "a.txt", "\ufeff" + text)))
    assert plain(texts) == [
        (["Kim"], [(0, 1, "PER")]),
        (["#", "#tag"], [(1, 2, "X")]),
        (["Bo"], [(0, 1, "PER")]),
    ]
    assert [text.starts_doc for text in texts] == [True, False, True]
    assert texts[0].where.endswith("line 5")


def test_chosen_columns_tabs_and_odd_words(tmp_path):
    text = "#\thttp://a.b\n1\tNew York\tB-LOC\tO\n2\t\u00a0\tI-LOC\tO\n3\t\tO\tB-X\t\n"
    path = write(tmp_path / "a.tsv.gz", text)
    assert plain(read_columns(path, word_column=1, tag_column=2)) == [(["New York", "\u00a0", ""], [(0, 2, "LOC")])]
    assert plain(read_columns(path, word_column=1)) == [(["New York", "\u00a0", ""], [(2, 3, "X")])]


@pytest.mark.parametrize("line", ["word", "O", "word PER", "word B-PER extra", "#tag", "word -", "word o"])
def test_a_line_without_word_and_tag_is_refused_with_its_number(line, tmp_path):
    path = write(tmp_path / "a.conll", f"Kim B-PER\n{line}\n")
    with pytest.raises(DataError, match=r"\[O401\] .*a\.conll, line 2: expected a word in column 0 and a tag"):
        list(read_columns(path))
    with pytest.raises(DataError, match="line 1"):
        list(read_columns(write(tmp_path / "b.conll", "Kim B-PER\n"), tag_column=2))


# JSON


def gliner(records):
    return [
        {"tokenized_text": record["tokens"], "ner": [[start, end - 1, label] for start, end, label in record["spans"]]}
        for record in records
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json.gz", "a.data"])
@pytest.mark.parametrize("reader", [read_jsonl, read_gliner])
@pytest.mark.parametrize("layout", [lines, json.dumps, lambda records: json.dumps(records, indent=2)])
def test_json_records(name, reader, layout, tmp_path):
    path = write(tmp_path / name, layout(gliner(RECORDS) if reader is read_gliner else RECORDS))
    texts = list(reader(path))
    assert [list(text.tokens) for text in texts] == [record["tokens"] for record in RECORDS]
    assert [list(map(list, text.spans)) for text in texts] == [record["spans"] for record in RECORDS]
    assert detect_format(path) == ("gliner" if reader is read_gliner else "jsonl")


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_json_lists_are_read_in_chunks(size, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", size)
    path = write(tmp_path / "a.json", "\ufeff" + json.dumps(RECORDS, indent=1, ensure_ascii=False))
    found = list(files.read_values(path, "jsonl", "records"))
    assert [value for _, value in found] == RECORDS
    ends = [number for number, line in enumerate(path.read_text().split("\n"), 1) if line.startswith(" }")]
    assert [line for line, _ in found] == ends
    assert list(files.read_values(write(path, " [ ] "), "jsonl", "records")) == []


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ('{"tokens": [], "spans": []}\n\nnot json\n', 3, "'not json'"),
        ('[{"tokens": [], "spans": []},\n{"tokens": []', 2, ""),
        ('[{"tokens": [], "spans": []}\n{"tokens": [], "spans": []}]', 2, ""),
        ('[{"tokens": [], "spans": []}', 1, "the end of the file"),
        ('{"tokens": ["a"]}\n', 1, "{'tokens': ['a']}"),
        ('{"tokens": "a", "spans": []}\n', 1, ""),
        ('{"tokens": [1], "spans": []}\n', 1, ""),
        ('{"tokens": ["a"], "spans": [[0, 1]]}\n', 1, ""),
        ('{"tokens": ["a"], "spans": [[0, "1", "x"]]}\n', 1, ""),
        ('{"tokens": ["a"], "spans": [[0, 1, null]]}\n', 1, ""),
        ('{"tokens": [], "spans": []}\n["a"]\n', 2, "['a']"),
        ('{"tokens": [], "spans": []}\n{"tokens": [], "spans": [], "x": NaN}\n', 2, ""),
        ('[{"tokens": [], "spans": []},\n{"tokens": [], "spans": [], "x": [-Infinity]}]', 2, ""),
        ("Kim B-PER\n", 1, "'Kim B-PER'"),
    ],
)
def test_records_of_another_form_are_refused_with_their_line(text, line, found, tmp_path):
    path = write(tmp_path / "a.json", text)
    with pytest.raises(DataError) as caught:
        list(read_jsonl(path))
    assert re.search(rf"a\.json, line {line}(, column \d+)?: expected", str(caught.value))
    assert f"found {found}" in str(caught.value)
    assert '"spans": [[0, 2, "person"]' in str(caught.value)


def test_a_broken_item_of_a_large_list_is_refused_early(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 10)
    monkeypatch.setattr(files, "LONGEST_VALUE", 20)
    read_so_far = []
    monkeypatch.setattr(files, "_read_chunks", lambda stream: (read_so_far.append(c) or c for c in ["[nope "] * 99))
    with pytest.raises(DataError, match="nope"):
        list(read_jsonl(write(tmp_path / "a.json", "[nope")))
    assert len(read_so_far) < 9


@pytest.mark.parametrize(
    "text", [b'[{"tokens": ["\xff"]', b'{"tokens": ["\xff"]', b'{"tokens":["\\ud83d"],"spans":[]}']
)
def test_json_that_is_not_unicode(text, tmp_path):
    with pytest.raises(TextError, match=r"O203"):
        list(read_jsonl(write(tmp_path / "a.json", text)))


def test_files_that_cannot_be_read(tmp_path):
    whole = gzip.compress(lines(RECORDS).encode() * 50)
    broken = tmp_path / "b.jsonl.gz"
    for data in (whole[:-20], b"no gzip", whole[:20] + b"\0" * 9 + whole[29:]):
        broken.write_bytes(data)
        with pytest.raises(DataError, match=r"O403.*b.jsonl.gz"):
            list(read_jsonl(broken))
    with pytest.raises(DataError, match=r"O403.*missing"):
        detect_format(tmp_path / "missing")


# spaCy's files and brat


def save(path, *docs):
    path.parent.mkdir(exist_ok=True)
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


def spacy_doc(text="Kim Lee met Bo. In Oslo.", ents=((0, 2, "PER"),), groups=None):
    doc = spacy.blank("en")(text)
    if ents is not None:
        doc.ents = [Span(doc, start, end, label) for start, end, label in ents]
    for key, found in (groups or {}).items():
        doc.spans[key] = [Span(doc, start, end, label) for start, end, label in found]
    return doc


def test_spacy_files(tmp_path):
    nested = [(0, 2, "PER"), (1, 2, "NAME")]
    first, second = spacy_doc(groups={"sc": nested}), spacy_doc("Hi", None)
    first[5].is_sent_start = True
    save(tmp_path / "in" / "a.spacy", first, second)
    save(tmp_path / "in" / "b.spacy", Doc(first.vocab, words=["x", "y"]))
    tally = Tally()
    texts = list(read_spacy(tmp_path / "in", tally=tally))
    assert plain(texts) == [(["Kim", "Lee", "met", "Bo", ".", "In", "Oslo", "."], [(0, 2, "PER")])]
    assert (
        "".join(word + " " * space for word, space in zip(texts[0].tokens, texts[0].spaces, strict=True)) == first.text
    )
    assert texts[0].sent_starts == (0, 5)
    assert tally.skipped == {"doc without annotation": Finding(2, f"{tmp_path / 'in' / 'a.spacy'}, doc 2")}
    assert [sorted(text.spans) for text in read_spacy(tmp_path / "in", source_key="sc")] == [nested]
    assert detect_format(tmp_path / "in") == detect_format(tmp_path / "in" / "a.spacy") == "spacy"


def test_spacy_files_that_lack_the_span_group_or_are_none(tmp_path):
    path = save(tmp_path / "a.spacy", spacy_doc(groups={"sc": []}))
    with pytest.raises(DataError, match=r"O405.*'ruler'.*\['sc'\]"):
        list(read_spacy(path, source_key="ruler"))
    for data in (b"Kim B-PER\n", path.read_bytes()[:50], b""):
        with pytest.raises(DataError, match=r"O403.*not a DocBin"):
            list(read_spacy(write(path, data)))
    with pytest.raises(DataError, match=r"O403"):
        list(read_spacy(tmp_path / "missing.spacy"))


def brat(folder, text, *marks):
    """Write a pair of files. Marks are (label, offsets); their text is what the offsets hold."""
    rows = []
    for i, (label, *parts) in enumerate(marks):
        offsets = ";".join(f"{start} {end}" for start, end in parts)
        held = " ".join(text[start:end] for start, end in parts).replace("\n", " ").replace("\r", " ")
        rows.append(f"T{i}\t{label} {offsets}\t{held}\n")
    write(folder / "a.txt", text)
    write(folder / "a.ann", "".join(rows) + "R1\tWorks Arg1:T1 Arg2:T2\n#1\tAnnotatorNotes T1\tok\n")
    return folder


def test_brat(tmp_path):
    text = "😀 Marie Curie\r\nwon in\nParis-Sud."
    marks = [("Person", (2, 13)), ("First_Name", (2, 7)), ("Phrase", (15, 21), (22, 27)), ("City", (22, 27))]
    path, tally = brat(tmp_path / "in", text, *marks), Tally()
    (found,) = read_brat(path, tally=tally)
    assert "".join(word + " " * space for word, space in zip(found.tokens, found.spaces, strict=True)) == text
    held = {label: "".join(found.tokens[start:end]) for start, end, label in found.spans}
    assert held == {"Person": "MarieCurie", "First_Name": "Marie", "Phrase": "wonin\nParis", "City": "Paris"}
    assert (found.starts_doc, found.sent_starts, found.where) == (True, (), str(path / "a.ann"))
    assert tally == Tally(unread={"relation": Finding(1, f"{path / 'a.ann'}, line 5")})
    for name in (path, path / "a.ann", path / "a.txt"):
        assert detect_format(name) == "brat"
        assert list(read_brat(name)) == [found]


def test_brat_entities_that_do_not_fit(tmp_path):
    text = "bone and joint pain hurts"
    path = brat(
        tmp_path,
        text,
        ("Pain", (0, 4), (15, 19)),
        ("Part", (10, 14)),
        ("Gap", (4, 9)),
        ("Void", (8, 9)),
        ("Off", (20, 30)),
    )
    write(path / "a.ann", (path / "a.ann").read_text() + "T8\tShifted 1 5\tbone\nT9\tBare 0 4\n")
    tally = Tally()
    (found,) = read_brat(path, tally=tally)
    assert found.spans == ((2, 3, "Part"), (1, 2, "Gap"), (0, 1, "Bare"))
    reasons = [
        "discontinuous",
        "empty",
        "offsets outside of the text",
        "offsets that do not hold the annotated text",
    ]
    assert {reason: found.count for reason, found in tally.dropped.items()} == dict.fromkeys(reasons, 1)
    widened = "entity that starts or ends inside a token, widened to it"
    assert tally.repaired == {widened: Finding(1, f"{path / 'a.ann'}, line 2")}
    (found,) = read_brat(path, discontinuous="join", tally=(tally := Tally()))
    assert (0, 4, "Pain") in found.spans
    assert tally.repaired["discontinuous entity, joined over its gaps"].count == 1


def test_brat_uses_the_languages_tokenizer(tmp_path):
    path = brat(tmp_path, "Das gibt's", ("X", (4, 8)))
    assert [next(read_brat(path, lang=lang)).tokens[1] for lang in ("de", "en")] == ["gibt's", "gibt"]
    with pytest.raises(SettingError, match=r"O001.*lang"):
        list(read_brat(path, lang="xyz"))
    with pytest.raises(SettingError, match=r"O001.*discontinuous"):
        list(read_brat(path, discontinuous="keep"))


def test_broken_brat_files(tmp_path):
    path = write(tmp_path / "a.ann", "T1\tPerson 0 x\tKim\n")
    with pytest.raises(DataError, match=r"O403.*a.txt"):
        list(read_brat(path))
    write(tmp_path / "a.txt", "Kim")
    with pytest.raises(DataError, match=r"O401.*a.ann, line 1: expected \"T1\""):
        list(read_brat(path))
    write(tmp_path / "a.txt", b"\xff")
    with pytest.raises(TextError, match=r"O203.*a.txt"):
        list(read_brat(path))


# Formats


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.conll", "[ O\n] O\n", "columns"),
        ("a.txt", "\n-DOCSTART- O\n\n{ O\n", "columns"),
        ("a.txt", "\ufeff# id 1\nKim\tB-PER\n", "columns"),
        ("a.jsonl", "", "columns"),
        ("a.txt", '\n {"tokens": [], "spans": []}', "jsonl"),
        ("a.json", "[]", "jsonl"),
        ("a.json", '\ufeff[\n {"ner": [], "tokenized_text": []}]', "gliner"),
    ],
)
def test_formats_are_told_apart(name, text, kind, tmp_path):
    assert detect_format(write(tmp_path / name, text)) == kind


def test_unknown_formats(tmp_path):
    with pytest.raises(DataError, match=r"O402.*its first record is \{'text'.*columns, jsonl, gliner, spacy, brat"):
        detect_format(write(tmp_path / "a.json", '{"text": "Kim", "names": []}'))
    with pytest.raises(DataError, match=r"O401.*line 1"):
        detect_format(write(tmp_path / "a.json", '{"tokens":'))
    with pytest.raises(DataError, match=r"O402.*no .spacy, .ann or .xmi file"):
        detect_format(tmp_path)
    with pytest.raises(SettingError, match=r"O001.*'conll'.*'columns'"):
        read(tmp_path / "a.json", "conll")
    with pytest.raises(SettingError, match=r"O408.*`lang`.*word_column, tag_column"):
        read(tmp_path / "a.json", "columns", lang="en")


# What is written


def test_round_trip_keeps_nested_spans_and_marks_every_doc(tmp_path):
    report = convert(write(tmp_path / "a.jsonl", lines(RECORDS)), tmp_path / "out" / "b.spacy")
    assert report.files == (str(tmp_path / "out" / "b.spacy"),)
    back = list(read_spacy(report.files[0], source_key="openner"))
    assert back == [
        AnnotatedText(text.tokens, text.spans, starts_doc=True) for text in read_jsonl(tmp_path / "a.jsonl")
    ]
    first, empty, crossing = docs(report.files[0])
    assert [(ent.text, ent.label_) for ent in first.ents] == [("東京 タワー", "building")]
    assert spans(empty) == []
    assert empty.has_annotation("ENT_IOB")
    assert len(crossing.ents) == 1
    assert all(doc.has_unknown_spaces for doc in (first, empty, crossing))
    assert json.loads((tmp_path / "out" / "b.labels.json").read_text(encoding="utf-8")) == {
        "building": "building",
        "city": "city",
        "place": "place",
        "x": "x",
    }
    assert (report.texts, report.docs, report.tokens, report.spans) == (3, 3, 9, 5)
    assert report.types == {"x": 2, "building": 1, "city": 1, "place": 1}
    assert report.dropped == report.repaired == report.skipped == {}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.labels.json", "b.spacy"]


text_records = st.lists(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4), min_size=1, max_size=4).flatmap(
        lambda tokens: st.fixed_dictionaries(
            {
                "tokens": st.just(tokens),
                "spans": st.lists(
                    st.tuples(st.integers(-1, 5), st.integers(-1, 5), st.sampled_from(["a", "b c", "É"])).map(list),
                    max_size=5,
                ),
            }
        )
    ),
    min_size=1,
    max_size=4,
)


@given(text_records)
def test_any_records_are_written_as_they_are_or_counted(tmp_path_factory, records):
    folder = tmp_path_factory.getbasetemp() / "any"
    report = convert(write(folder / "a.jsonl", lines(records)), folder, natural=False)
    back = list(read_spacy(report.files[0], source_key="openner"))
    assert [list(text.tokens) for text in back] == [record["tokens"] for record in records]
    for text, record in zip(back, records, strict=True):
        fitting = [tuple(span) for span in record["spans"] if 0 <= span[0] < span[1] <= len(record["tokens"])]
        assert list(text.spans) == list(dict.fromkeys(fitting))
    n_read = sum(len(record["spans"]) for record in records)
    assert n_read == report.spans + sum(found.count for found in report.dropped.values())


def test_malformed_spans_are_dropped_with_a_reason_and_an_example(tmp_path):
    given_spans = [
        [0, 3, "x"],
        [-1, 1, "x"],
        [1, 1, "x"],
        [2, 1, "x"],
        [0, 1, " "],
        [0, 1, "x"],
        [0, 1, "X"],
        [0, 2, "y"],
    ]
    path = write(tmp_path / "a.jsonl", lines([{"tokens": ["a", "b"], "spans": given_spans}]))
    report = convert(path, tmp_path, labels={"y": None})
    assert report.dropped == {
        "outside of the tokens": Finding(2, f'{path}, line 1, [0, 3, "x"]'),
        "empty": Finding(2, f'{path}, line 1, [1, 1, "x"]'),
        "without a label": Finding(1, f'{path}, line 1, [0, 1, " "]'),
        "repeated": Finding(1, f'{path}, line 1, [0, 1, "X"]'),
        "label that is mapped to null": Finding(1, f'{path}, line 1, [0, 2, "y"]'),
    }
    assert (report.spans, report.types) == (1, {"x": 1})


def test_empty_tokens_are_left_out_and_spans_follow(tmp_path):
    records = [
        {"tokens": ["", "a", "", "b"], "spans": [[0, 2, "x"], [2, 4, "y"], [2, 3, "z"], [0, 4, "w"]]},
        {"tokens": ["", ""], "spans": [[0, 1, "x"]]},
        {"tokens": [], "spans": []},
        {"tokens": ["c", ""], "spans": []},
    ]
    path = write(tmp_path / "a.jsonl", lines(records))
    report = convert(path, tmp_path)
    first, second = docs(report.files[0])
    assert [token.text for token in first] == ["a", "b"]
    assert spans(first) == [(0, 1, "x"), (1, 2, "y"), (0, 2, "w")]
    assert second[0].is_sent_start
    assert {reason: found.count for reason, found in report.dropped.items()} == {"empty": 2}
    assert report.repaired == {"empty token, left out": Finding(5, f"{path}, line 1")}
    assert report.skipped == {"text without words": Finding(2, f"{path}, line 2")}
    assert report.texts == 2


@pytest.mark.parametrize(
    ("name", "text"), [("a.conll", ""), ("a.jsonl", "\n"), ("a.json", "[]"), ("a.jsonl", '{"tokens": [], "spans": []}')]
)
def test_data_without_texts_is_an_error_and_leaves_what_was_there(name, text, tmp_path):
    old = write(tmp_path / "out" / "a.spacy", "old")
    with pytest.raises(DataError, match=r"O406"):
        convert(write(tmp_path / name, text), tmp_path / "out")
    assert old.read_text() == "old"
    assert [path.name for path in old.parent.iterdir()] == ["a.spacy"]


def test_nothing_is_replaced_when_the_data_turns_out_broken(tmp_path):
    path = write(tmp_path / "a.jsonl", lines(RECORDS * 3) + "broken")
    old = write(tmp_path / "a-00001.spacy", "old")
    with pytest.raises(DataError, match="line 10"):
        convert(path, tmp_path, shard=2)
    assert old.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-00001.spacy", "a.jsonl"]


def test_sentences_are_grouped_within_documents(tmp_path):
    sentence = columns(WORDS, SCHEMES["iob2"].split())
    path = write(tmp_path / "a.conll", sentence * 3 + "-DOCSTART- O\n\n" + sentence)
    report = convert(path, tmp_path, n_sents=2)
    assert (report.texts, report.docs) == (4, 3)
    found = docs(report.files[0])
    assert [len(list(doc.sents)) for doc in found] == [2, 1, 1]
    expected = [(start, end, label.lower()) for start, end, label in SPANS]
    assert [
        [(s.start - sent.start, s.end - sent.start, s.label_) for s in sent.ents] for doc in found for sent in doc.sents
    ] == [expected] * 4
    assert spans(found[0])[4:] == [(start + 7, end + 7, label) for start, end, label in expected]
    whole = convert(path, tmp_path, n_sents=1000)
    assert [len(doc) for doc in docs(whole.files[0])] == [21, 7]


def test_a_document_starts_even_if_its_first_text_is_skipped(tmp_path):
    path = write(tmp_path / "a.tsv", "a\tO\n\n-DOCSTART-\n\n\tO\n\nb\tO\n")
    assert convert(path, tmp_path, n_sents=9).docs == 2


def test_shards(tmp_path):
    path = write(tmp_path / "a.jsonl", lines(RECORDS * 3))
    out = tmp_path / "out"
    kept = [write(out / name, "kept") for name in ("ab-00009.spacy", "a-1.spacy", "a-00009.txt")]
    for shard, sizes in ((2, [2, 2, 2, 2, 1]), (3, [3, 3, 3]), (9, [9])):
        report = convert(path, out / "a.spacy", shard=shard)
        assert report.files == tuple(str(out / f"a-0000{i}.spacy") for i in range(1, len(sizes) + 1))
        assert [len(docs(file)) for file in report.files] == sizes
        assert {file.name for file in out.glob("a-0*.spacy")} == {f"a-0000{i}.spacy" for i in range(1, len(sizes) + 1)}
        assert report.docs == 9
        assert (out / "a.labels.json").is_file()
    assert [file.read_text() for file in kept] == ["kept"] * 3
    assert convert(out / "a-00001.spacy", tmp_path / "b.spacy", source_key="openner").spans == report.spans


def test_spacy_files_keep_spaces_and_sentences(tmp_path):
    doc = spacy_doc()
    for token in doc:
        token.is_sent_start = token.i in (0, 5)
    path = save(tmp_path / "a.spacy", doc)
    with pytest.raises(SettingError, match="O409"):
        convert(path, path, labels={"PER": "person"})
    convert(path, tmp_path / "b.spacy", labels={"PER": "person"}, spans_key="gold", n_sents=5)
    (found,) = docs(tmp_path / "b.spacy")
    assert found.text == doc.text
    assert not found.has_unknown_spaces
    assert [sent.text for sent in found.sents] == ["Kim Lee met Bo.", "In Oslo."]
    assert spans(found, "gold") == [(0, 2, "person")]
    assert "openner" not in found.spans


def test_brat_sentences_stay_unknown(tmp_path):
    report = convert(brat(tmp_path / "in", "Kim met Bo.", ("Person", (0, 3))), tmp_path)
    (doc,) = docs(tmp_path / "in.spacy")
    assert not doc.has_annotation("SENT_START")
    assert (doc.text, report.types) == ("Kim met Bo.", {"person": 1})


def test_spacys_own_reader_keeps_the_tokens(tmp_path):
    report = convert(
        write(tmp_path / "a.jsonl", lines([{"tokens": ["don't", "U.K.-based"], "spans": [[1, 2, "x"]]}])), tmp_path
    )
    (example,) = Corpus(report.files[0])(spacy.blank("en"))
    assert [token.text for token in example.predicted] == ["don't", "U.K.-based"]
    assert [span.text for span in example.reference.spans["openner"]] == ["U.K.-based"]


@pytest.mark.parametrize(
    ("target", "written"),
    [("x.spacy", "x.spacy"), ("v1.0.spacy", "v1.0.spacy"), ("new", "new/a.b.spacy"), ("old.dir", "old.dir/a.b.spacy")],
)
def test_targets(target, written, tmp_path):
    (tmp_path / "old.dir").mkdir()
    path = write(tmp_path / "a.b.jsonl.gz", lines(RECORDS))
    report = convert(path, tmp_path / target)
    assert report.files == (str(tmp_path / written),)
    assert report.labels_file == str(tmp_path / written).removesuffix(".spacy") + ".labels.json"
    assert len(docs(report.files[0])) == 3


def test_targets_that_cannot_be_written(tmp_path):
    path = write(tmp_path / "a.jsonl", lines(RECORDS))
    with pytest.raises(SettingError, match=r"O001.*b.jsonl"):
        convert(path, tmp_path / "b.jsonl")
    with pytest.raises(DataError, match=r"O407.*a.jsonl"):
        convert(path, path / "b.spacy")
    for name in ("n_sents", "shard"):
        with pytest.raises(SettingError, match=f"O001.*{name}.*0"):
            convert(path, tmp_path, **{name: 0})


# Labels


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("GPE", "gpe"),
        ("cell_type", "cell type"),
        ("WORK_OF_ART", "work of art"),
        ("person-artist/author", "person artist/author"),
        ("timeRange", "time range"),
        ("HTMLTag", "html tag"),
        ("PERpart", "per part"),
        ("LOCderiv", "loc deriv"),
        ("HTMLPart", "html part"),
        ("mRNA", "mrna"),
        ("DNAs", "dnas"),
        ("Chemical  Element", "chemical element"),
        ("non-profit organization", "non-profit organization"),
        ("ÉtatMembre", "état membre"),
        ("人物", "人物"),
        ("_", "_"),
    ],
)
def test_natural_labels(label, words):
    assert natural_label(label) == natural_label(natural_label(label)) == words


def test_label_map_and_types(tmp_path):
    path = write(tmp_path / "a.conll", columns(WORDS, SCHEMES["iob2"].split()))
    labels = {"PER": "human being", "ORG": "company", "MISC": None}
    report = convert(path, tmp_path, labels=labels)
    assert report.types == {"human being": 3, "company": 0, "loc": 1}
    assert list(json.loads((tmp_path / "a.labels.json").read_text())) == ["human being", "company", "loc"]
    assert set(convert(path, tmp_path, natural=False).types) == {"PER", "LOC"}
    assert convert(path, tmp_path, labels={"PER": "x", "LOC": "x"}).types == {"x": 4}
    bare = write(tmp_path / "b.conll", "Kim B\n")
    assert convert(bare, tmp_path, labels={"": "person"}).types == {"person": 1}


def test_given_types_are_the_list(tmp_path):
    path = write(tmp_path / "a.conll", columns(WORDS, SCHEMES["iob2"].split()))
    types = {"per": "a human being", "loc": "a place", "org": "an organization"}
    report = convert(path, tmp_path, types=types, labels={"MISC": "miscellaneous"})
    assert json.loads((tmp_path / "a.labels.json").read_text()) == types
    assert report.types == {"per": 3, "loc": 1, "org": 0}
    with pytest.warns(OpenNERWarning, match=r"W401.*\['loc'\]"):
        report = convert(path, tmp_path, types=["per"])
    assert report.types == {"per": 3, "loc": 1}


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"labels": {"PER": ""}}, "O003"),
        ({"labels": {"PER": 1}}, "O003"),
        ({"types": [""]}, "O003"),
        ({"types": {"per": " "}}, "O004"),
    ],
)
def test_labels_and_types_that_are_no_names(wrong, code, tmp_path):
    with pytest.raises(SettingError, match=code):
        convert(write(tmp_path / "a.conll", "Kim B-PER\n"), tmp_path, **wrong)


def test_label_files(tmp_path):
    good = write(tmp_path / "good", '{"PER": "person", "MISC": null}')
    assert read_label_map(good) == {"PER": "person", "MISC": None}
    assert read_types(write(tmp_path / "list", '["person"]')) == ["person"]
    assert read_types(write(tmp_path / "map", '{"person": "a human"}')) == {"person": "a human"}
    for reader, text in (
        (read_label_map, "[1]"),
        (read_label_map, '{"a": 1}'),
        (read_types, '{"a": null}'),
        (read_types, "[1]"),
        (read_types, "1"),
        (read_types, "{"),
    ):
        with pytest.raises(DataError, match=r"O404.*wrong.*should hold"):
            reader(write(tmp_path / "wrong", text))


# The command


def test_the_command_offers_all_formats():
    assert [kind.value for kind in Format] == ["auto", *READERS]


def run(*args):
    return CliRunner().invoke(app, ["convert", *map(str, args)])


def test_command(tmp_path):
    text = columns(WORDS, ["B-PER", "I-PER", "O", "S-PER", "I-ORG", "O", "B-LOC"])
    source = write(tmp_path / "train.conll", text)
    labels = write(tmp_path / "labels.json", '{"PER": "person", "LOC": null}')
    result = run(source, tmp_path / "out", "--labels", labels)
    assert result.exit_code == 0, result.stderr
    assert re.sub(r" {2,}", "  ", result.stdout.replace(f"{tmp_path}/", "")).splitlines() == [
        "Read train.conll as columns, wrote out/train.spacy and out/train.labels.json.",
        "Texts: 1, docs: 1, tokens: 7, spans: 3, types: 2",
        "  2  person",
        "  1  org",
        "Dropped spans: 1",
        '  1  label that is mapped to null  first: train.conll, line 1, [6, 7, "LOC"]',
        "Repaired: 4",
        "  3  entity without an end tag, read as ended  first: train.conll, line 1",
        "  1  tag that continues no entity, read as a start  first: train.conll, line 1",
    ]


def test_command_with_all_options(tmp_path):
    source = write(tmp_path / "a.data", "PER\tx\tKim\nO\tx\tmet\n".replace("PER", "B-PER") + "\nO\tx\tMe\n")
    types = write(tmp_path / "types.json", '["PER", "LOC"]')
    result = run(
        *(source, tmp_path / "b.spacy", "--format", "columns", "--word-column", 2, "--tag-column", 0, "--types", types),
        *("--no-natural", "--spans-key", "gold", "-n", 5, "--shard", 1, "--json"),
    )
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["types"] == {"PER": 1, "LOC": 0}
    assert report["files"] == [str(tmp_path / "b-00001.spacy")]
    assert spans(docs(report["files"][0])[0], "gold") == [(0, 1, "PER")]
    again = run(report["files"][0], tmp_path / "c.spacy", "--source-key", "gold", "--json")
    assert json.loads(again.stdout)["types"] == {"per": 1}
    path = brat(tmp_path / "in", "bone and joint pain", ("Pain", (0, 4), (15, 19)))
    joined = run(path, tmp_path, "--lang", "en", "--discontinuous", "join", "--json")
    assert json.loads(joined.stdout)["repaired"]["discontinuous entity, joined over its gaps"]["count"] == 1


def test_mistakes_of_the_command(tmp_path):
    source = write(tmp_path / "a.conll", "Kim\n")
    result = run(source, tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: [O401] ")
    assert run(tmp_path / "missing", tmp_path).exit_code == 2
    assert run(source, tmp_path, "--format", "conll").exit_code == 2
    assert "O408" in run(source, tmp_path, "--lang", "en").stderr
    write(source, "Kim B-PER\n")
    warned = run(source, tmp_path, "--types", write(tmp_path / "types", "[]"))
    assert warned.exit_code == 0
    assert warned.stderr.startswith("Warning: [W401] ")


# Real data


@pytest.mark.data
@pytest.mark.parametrize("name", ["crossner_ai/train.jsonl", "wikigold/all.jsonl", "litbank/dev.jsonl"])
def test_real_corpora_lose_nothing(name, data_dir, tmp_path):
    path = data_dir / name
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    report = convert(path, tmp_path / "a.spacy", n_sents=10)
    assert report.texts == len(records)
    assert report.tokens == sum(len(record["tokens"]) for record in records)
    n_read = sum(len(record["spans"]) for record in records)
    assert n_read == report.spans + sum(found.count for found in report.dropped.values())
    assert report.spans == sum(len(doc.spans["openner"]) for doc in docs(report.files[0]))
    assert report.spans > 0.99 * n_read


RECORD = '{"tokens": ["a"], "spans": []}'


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (f"[{RECORD}]\n[{RECORD}]", "line 2, column 1"),
        (f"[{RECORD}]\n{RECORD}", "line 2, column 1"),
        (f"[{RECORD}] rubbish", f"line 1, column {len(RECORD) + 4}"),
        (f"[{RECORD},\n {RECORD},\n ]", "line 3, column 2"),
        (f"[{RECORD}\n {RECORD}]", "line 2, column 2"),
        (f"[{RECORD},, {RECORD}]", f"line 1, column {len(RECORD) + 3}"),
        (f"[{RECORD}", f"line 1, column {len(RECORD) + 2}"),
        ("[", "line 1, column 2"),
        (f"{RECORD}\n{RECORD} x", f"line 2, column {len(RECORD) + 2}"),
        (f"{RECORD}\n{'[' * 200_000}", "line 2"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, files.CHUNK])
def test_nothing_of_a_file_is_dropped(tmp_path, monkeypatch, data, place, chunk):
    """What is behind a list is read, or is an error that says where."""
    monkeypatch.setattr(files, "CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text(data)
    with pytest.raises(DataError, match=rf"O401.*{place}"):
        convert(path, tmp_path / "b.spacy", format="jsonl")
    assert not (tmp_path / "b.spacy").exists()


@pytest.mark.parametrize(
    "data", [f"[{RECORD}]\n \n", f"\ufeff[{RECORD}, {RECORD}]", f"[\n{RECORD}\n,\n{RECORD}\n]\r\n"]
)
@pytest.mark.parametrize("chunk", [1, 7, files.CHUNK])
def test_lists_are_read_whole(tmp_path, monkeypatch, data, chunk):
    monkeypatch.setattr(files, "CHUNK", chunk)
    (tmp_path / "a.json").write_text(data, encoding="utf8")
    assert convert(tmp_path / "a.json", tmp_path / "b.spacy").texts == data.count("tokens")


@pytest.mark.parametrize("first", [0, 1])
def test_a_column_of_numbers_is_not_taken_for_words(first, tmp_path):
    """As in WikiNEuRal and GermEval."""
    rows = [("Kim", "B-PER"), ("met", "O"), ("Bo", "B-PER")]
    lines = [f"{i}\t{word}\t{tag}" for i, (word, tag) in enumerate(rows, first)]
    path = write(tmp_path / "a.conll", "\n".join(lines))
    with pytest.raises(DataError, match=r"O410.*--word-column 1"):
        convert(path, tmp_path / "a.spacy")
    assert convert(path, tmp_path / "a.spacy", word_column=1).types == {"per": 2}
    (doc,) = docs(tmp_path / "a.spacy")
    assert [token.text for token in doc] == ["Kim", "met", "Bo"]
    assert convert(path, tmp_path / "b.spacy", word_column=0).tokens == 3


def test_numbers_may_be_words(tmp_path):
    path = write(tmp_path / "a.conll", "1\tO\n\n3\tO\n4\tO\n")
    assert convert(path, tmp_path / "a.spacy").tokens == 3


def test_labels_with_blanks_as_label_studio_writes_them(tmp_path):
    path = write(tmp_path / "a.conll", "-DOCSTART- -X- O\nNa -X- _ B-chemical element\nis -X- _ O\nit -X- _ O\n")
    assert convert(path, tmp_path / "a.spacy").types == {"chemical element": 1}
    (doc,) = docs(tmp_path / "a.spacy")
    assert spans(doc) == [(0, 1, "chemical element")]


def test_brat_offsets_of_thousands_of_digits_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("Kim")
    (tmp_path / "a.ann").write_text(f"T1\tPerson 0 {'9' * 5000}\tKim\n")
    with pytest.raises(DataError, match=r"O401.*a.ann, line 1"):
        convert(tmp_path / "a.ann", tmp_path / "a.spacy")


# Layers as LitBank has them, and GermEval 2014 behind a column of numbers.
LAYERS = [("the", "B-PER", "O"), ("mayor", "I-PER", "O"), ("of", "I-PER", "O"), ("Oslo", "I-PER", "B-GPE")]


@pytest.mark.parametrize("numbered", [False, True])
def test_several_columns_of_tags_are_nested_layers(numbered, tmp_path):
    rows = [(str(i), *row) if numbered else row for i, row in enumerate(LAYERS, 1)]
    path = write(tmp_path / "a.tsv", "".join("\t".join((*row, "O")) + "\n" for row in rows))
    options = {"word_column": 1} if numbered else {}
    first = len(rows[0]) - 2
    layers = [first, first + 1, first + 2]
    with pytest.raises(DataError, match=rf"O411.*{first}, {first + 1}.*--tag-column {first} --tag-column {first + 1}"):
        convert(path, tmp_path / "a.spacy", **options)
    assert not (tmp_path / "a.spacy").exists()
    report = convert(path, tmp_path / "a.spacy", tag_column=layers[:2], **options)
    (doc,) = docs(tmp_path / "a.spacy")
    assert spans(doc) == [(0, 4, "per"), (3, 4, "gpe")]
    assert not report.unread
    assert convert(path, tmp_path / "a.spacy", tag_column=first + 1, **options).types == {"gpe": 1}


def test_layers_of_equal_spans_count_once(tmp_path):
    path = write(tmp_path / "a.tsv", "Kim\tB-PER\tB-PER\n")
    report = convert(path, tmp_path / "a.spacy", tag_column=[1, 2])
    assert report.types == {"per": 1}
    assert report.dropped == {"repeated": Finding(1, f'{path}, line 1, [0, 1, "PER"]')}


def test_tags_of_another_kind_are_named_and_left(tmp_path):
    path = write(
        tmp_path / "a.conll", "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nGerman JJ B-NP B-MISC\ncall NN I-NP O\n"
    )
    report = convert(path, tmp_path / "a.spacy")
    assert report.types == {"org": 1, "misc": 1}
    assert report.unread == {
        "tag in column 2 (NP, VP), which --tag-column 2 reads": Finding(4, f"{path}, line 1"),
    }


def test_no_columns_of_tags_are_refused(tmp_path):
    with pytest.raises(SettingError, match=r"O001.*tag_column"):
        list(read_columns(write(tmp_path / "a.conll", "Kim B-PER\n"), tag_column=[]))


def test_the_command_reads_several_columns(tmp_path):
    path = write(tmp_path / "a.tsv", "".join("\t".join(row) + "\n" for row in LAYERS))
    result = run(path, tmp_path / "a.spacy", "--tag-column", 1, "--tag-column", 2)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "spans: 2" in result.stdout
    conll = write(tmp_path / "b.conll", "EU NNP B-NP B-ORG\n")
    assert "Not read: 1\n" in run(conll, tmp_path).stdout

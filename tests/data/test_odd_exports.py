"""Exports that are odd but real: each is read as it is meant, or what is not read is counted or refused by name."""

import json
from itertools import chain

import pytest

from spacy_openner.data.formats import detect_format, read
from spacy_openner.data.texts import Tally
from spacy_openner.errors import DataError

TEXT = "Kim Lee flew to Oslo."
KIM, OSLO = ("Kim Lee", "PER"), ("Oslo", "LOC")
WORDS = [("Kim", 0), ("Lee", 4), ("flew", 8), ("to", 13), ("Oslo", 16), (".", 20)]
TOKENS = [{"text": word, "start": start, "end": start + len(word), "id": i} for i, (word, start) in enumerate(WORDS)]


def span(start, end, label="PER", **more):
    return {"start": start, "end": end, "label": label, **more}


def prodigy(*spans, **more):
    return {"text": TEXT, "_input_hash": 1, "_task_hash": 2, "answer": "accept", "spans": list(spans), **more}


def region(start, end, label="PER", text=TEXT, **more):
    value = {"start": start, "end": end, "text": text[start:end], "labels": [label]}
    return {"type": "labels", "from_name": "label", "to_name": "text", "value": {**value, **more}}


def task(*results, **data):
    return {"id": 1, "data": {"text": TEXT, **data}, "annotations": [{"result": list(each)} for each in results]}


WEBANNO = "#FORMAT=WebAnno TSV 3.3\n{}#T_SP=x.NamedEntity|value\n\n\n#Text=Kim\n1-1\t0-3\tKim\t{}PER\t\n"
TAGS = ["O", "B-PER", "I-PER", "B-LOC"]
TAGGED = {"tokens": ["Kim", "Lee", "Oslo"], "ner_tags": [1, 2, 3]}
HEAD = '<?xml version="1.0"?><collection><source>s</source><date>d</date><key>k</key><document><id>1</id>'


def bioc(*passages, document=""):
    """A collection of one document; each passage is an offset, a text and annotations."""
    parts = [f"<passage><offset>{at}</offset><text>{text}</text>{more}</passage>" for at, text, more in passages]
    return HEAD + "".join(parts) + document + "</document></collection>"


def mention(text, *places):
    where = "".join(f'<location offset="{start}" length="{length}"/>' for start, length in places)
    return f'<annotation id="1"><infon key="type">PER</infon>{where}<text>{text}</text></annotation>'


def bioc_json(**document):
    annotation = {"id": "1", "infons": {"type": "PER"}, "text": "Kim", "locations": [{"offset": 0, "length": 3}]}
    return {"id": "1", "passages": [{"offset": 0, "text": "Kim.", "annotations": [annotation]}], **document}


def conllu(*words, head=""):
    """Of each word its number, its text and the last column."""
    return head + "".join(f"{n}\t{text}\t_\tX\t_\t_\t0\troot\t_\t{misc}\n" for n, text, misc in words) + "\n"


# File name, contents (records, or a text), format, entities, and findings: reason -> count.
KIM_ALONE, NO_LABEL = [("Kim", "PER")], {"without a label": 1}
READ = {
    "old line ends": ("a.conll", "Kim B-PER\rLee I-PER\r\rOslo B-LOC\r", "columns", [KIM, OSLO], {}),
    "lines with fewer columns": ("a.conll", "Kim NNP B-PER\nLee I-PER\nflew O\n", "columns", [KIM], {}),
    "all schemes": (
        "a.conll",
        "Kim B-PER\nLee E-PER\nBo U-PER\nNg S-PER\nA B-X\nB M-X\nC L-X\n",
        "columns",
        [KIM, ("Bo", "PER"), ("Ng", "PER"), ("A B C", "X")],
        {},
    ),
    "ends alone, all of them": (
        "a.conll",
        "Kim I-PER\nLee E-PER\nBo E-PER\nflew O\nOslo E-LOC\n",
        "columns",
        [KIM, ("Bo", "PER"), ("Oslo", "LOC")],
        {},
    ),
    "ends alone, where another follows": (
        "a.conll",
        "Kim I-PER\nLee E-PER\nBo I-PER\nflew O\nOslo I-LOC\n",
        "columns",
        [KIM, ("Bo", "PER"), ("Oslo", "LOC")],
        {},
    ),
    "ends where one is missing": (
        "a.conll",
        "Kim I-PER\nLee I-PER\nflew O\nOslo E-LOC\n",
        "columns",
        [KIM, ("Oslo", "LOC")],
        {"entity without an end tag, read as ended": 1},
    ),
    "padded cells": ("a.tsv", "Kim  \tB-PER \n Lee\t I-PER\nNew York\tO\n", "columns", [KIM], {}),
    "conllu: of Stanza": (
        "a.conllu",
        conllu(
            (1, "Kim", "start_char=0|end_char=3|ner=B-PER"),
            (2, "Lee", "ner=E-PER"),
            (3, ".", "ner=O"),
            head="# x = O\n",
        ),
        "conllu",
        [KIM],
        {},
    ),
    "conllu: words written as one": (
        "a.conllu",
        conllu(("1-2", "del", "_"), (1, "de", "NER=O"), (2, "Rome", "NER=B-LOC"), ("2.1", "x", "NER=B-X")),
        "conllu",
        [("Rome", "LOC")],
        {},
    ),
    "conllu: entities alone are tagged": (
        "a.conllu",
        conllu((1, "Kim", "NER=I-PER")) + conllu((1, "It", "_")) + conllu((1, "Lee", "SpaceAfter=No|NER=I-PER")),
        "conllu",
        [("Kim", "PER"), ("Lee", "PER")],
        {},
    ),
    "conllu: sentences that nobody tagged": (
        "a.conllu",
        conllu((1, "Kim", "NER=B-PER"), (2, "left", "NER=O")) + conllu((1, "Lee", "_")),
        "conllu",
        KIM_ALONE,
        {"sentence without tags": 1},
    ),
    "conllu: a tag in the last column": (
        "a.tsv",
        conllu((1, "a", "O")).replace("1\ta", "a\ta") + "b\tB-X\n",
        "columns",
        [("b", "X")],
        {},
    ),
    "brackets for words": ("a.conll", "[ O\nKim B-PER\n] O\n", "columns", KIM_ALONE, {}),
    "prodigy: other tokens": (
        "a.jsonl",
        [prodigy(span(0, 7, token_start=3, token_end=4), tokens=TOKENS)],
        "prodigy",
        [KIM],
        {"entity whose tokens and offsets disagree, read by its offsets": 1},
    ),
    "prodigy: tokens that are not there": (
        "a.jsonl",
        [prodigy(span(0, 7, token_start=0, token_end=99), tokens=TOKENS)],
        "prodigy",
        [KIM],
        {"entity whose tokens and offsets disagree, read by its offsets": 1},
    ),
    "prodigy: tokens of another text": (
        "a.jsonl",
        [prodigy(span(0, 7), tokens=[{**TOKENS[0], "text": "Tim"}, *TOKENS[1:]])],
        "prodigy",
        [KIM],
        {"tokens that do not hold their text, made anew": 1},
    ),
    "prodigy: a span of another text": (
        "a.jsonl",
        [prodigy(span(0, 7, text="Tim Lee"))],
        "prodigy",
        [],
        {"offsets that do not hold the annotated text": 1},
    ),
    "prodigy: two annotators": (
        "a.jsonl",
        [prodigy(span(0, 7), _annotator_id="a"), prodigy(_annotator_id="b")],
        "prodigy",
        [KIM],
        {"task that another annotator answered, too": 1},
    ),
    "prodigy: one annotator twice": (
        "a.jsonl",
        [prodigy(span(0, 7), _annotator_id="a")] * 2,
        "prodigy",
        [KIM, KIM],
        {},
    ),
    "doccano: nothing annotated": ("a.jsonl", [{"id": 1, "text": TEXT, "label": None}], "doccano", [], {}),
    "doccano: categories": (
        "a.jsonl",
        [{"id": 1, "text": TEXT, "label": [[0, 7, "PER"]], "cats": ["news"]}],
        "doccano",
        [KIM],
        {'"cats"': 1},
    ),
    "label-studio: several annotators": (
        "a.json",
        [task([region(0, 7)], [region(16, 20, "LOC")])],
        "label-studio",
        [KIM],
        {"further annotation of a task": 1},
    ),
    "label-studio: predictions alone": (
        "a.json",
        [{**task(), "predictions": [{"result": [region(0, 7)]}]}],
        "label-studio",
        [],
        {"task without annotation": 1},
    ),
    "label-studio: an empty result": ("a.json", [task([])], "label-studio", [], {}),
    "label-studio: choices of a region": (
        "a.json",
        [task([region(0, 7), {"type": "choices", "value": {"start": 0, "end": 7, "choices": ["a"]}}])],
        "label-studio",
        [KIM],
        {"result of type 'choices'": 1},
    ),
    "label-studio: another field": (
        "a.json",
        [task([region(0, 7), {**region(0, 4), "to_name": "title"}], title="Oslo news")],
        "label-studio",
        [KIM],
        {'region of the field "title"': 1},
    ),
    "label-studio: no labels": ("a.json", [task([region(0, 7, labels=[])])], "label-studio", [], NO_LABEL),
    "label-studio: null for labels": ("a.json", [task([region(0, 7, labels=None)])], "label-studio", [], NO_LABEL),
    "label-studio: choices in the short form": (
        "a.json",
        [{"text": TEXT, "label": [region(0, 7)["value"]], "tags": ["a"], "annotator": 1, "annotation_id": 2}],
        "label-studio",
        [KIM],
        {'"tags" of a task': 1},
    ),
    "label-studio: line ends of browsers": (
        "a.json",
        [
            task(
                [{**region(0, 0), "value": {"start": 4, "end": 11, "text": "Lee\nwon", "labels": ["PER"]}}],
                text="Kim\r\nLee\r\nwon",
            )
        ],
        "label-studio",
        [("Lee won", "PER")],
        {"offsets in characters of a text with single line ends, turned into characters": 1},
    ),
    "spacy-json: several lists": (
        "a.jsonl",
        [{"text": TEXT, "entities": [[0, 7, "PER"]], "spans": [span(16, 20, "LOC")]}],
        "spacy-json",
        [KIM, OSLO],
        {},
    ),
    "spacy-json: docs": (
        "a.jsonl",
        [{"text": TEXT, "ents": [span(0, 7)], "tokens": TOKENS, "spans": {"sc": [span(16, 20)] * 2}}],
        "spacy-json",
        [KIM],
        {'span group "sc"': 2},
    ),
    "gliner: relations": (
        "a.json",
        [{"tokenized_text": ["Kim", "Lee"], "ner": [[0, 1, "PER"]], "relations": [[0, 0, "x"]]}],
        "gliner",
        [KIM],
        {'"relations"': 1},
    ),
    "hugging-face: two layers": (
        "a.json",
        [{"tokens": ["Kim"], "ner_tags": ["B-PER"], "fine_ner_tags": ["B-actor"]}],
        "hugging-face",
        KIM_ALONE,
        {'field "fine_ner_tags", which --tags-key fine_ner_tags reads': 1},
    ),
    "webanno: relations": (
        "a.tsv",
        WEBANNO.format("#T_RL=x.Dep|DependencyType|BT_x.POS\n", "root\t1-1\t"),
        "webanno",
        KIM_ALONE,
        {'layer "Dep" of relations': 1},
    ),
    "webanno: chains": (
        "a.tsv",
        WEBANNO.format("#T_CH=x.Link|referenceRelation|referenceType\n", "*->1-1\tPER\t"),
        "webanno",
        KIM_ALONE,
        {'layer "Link" of relations': 1},
    ),
    "pubtator: titles alone": (
        "a.txt",
        "1|t|Kim in Oslo\n1\t0\t3\tKim\tPER\n\n2|t|Kim\n2\t0\t3\tKim\tPER\n",
        "pubtator",
        KIM_ALONE * 2,
        {},
    ),
    "pubtator: a blank line before the mentions": (
        "a.txt",
        "1|t|Bo.\n1|a|Kim.\n\n1\t4\t7\tKim\tPER\n\n2|t|Bo.\n",
        "pubtator",
        KIM_ALONE,
        {},
    ),
    "pubtator: a mention of another document": (
        "a.txt",
        "1|t|Kim.\n7\t0\t3\tKim\tPER\n",
        "pubtator",
        [],
        {"of another document than the one before it": 1},
    ),
    "pubtator: bytes": (
        "a.txt",
        "1|t|Café Kim\n1|a|\n1\t6\t9\tKim\tPER\n",
        "pubtator",
        KIM_ALONE,
        {"offsets in UTF-8 bytes, turned into characters": 1},
    ),
    "bioc: annotations of the document": (
        "a.xml",
        bioc((0, "Bo.", ""), (5, "Kim.", ""), document=mention("Kim", (5, 3))),
        "bioc",
        KIM_ALONE,
        {},
    ),
    "bioc: an annotation of another passage": (
        "a.xml",
        bioc((0, "Bo.", mention("Kim", (5, 3))), (5, "Kim.", "")),
        "bioc",
        KIM_ALONE,
        {},
    ),
    "bioc: offsets in the passage": (
        "a.xml",
        bioc((0, "Bo.", ""), (5, "Kim.", mention("Kim", (0, 3)))),
        "bioc",
        [],
        {"offsets that do not hold the annotated text": 1},
    ),
    "bioc: several places": (
        "a.xml",
        bioc((0, "Kim or Lee Ng.", mention("Kim Ng", (0, 3), (11, 2)))),
        "bioc",
        [],
        {"discontinuous": 1},
    ),
    "bioc: no place": ("a.xml", bioc((0, "Kim.", mention("Kim"))), "bioc", [], {"offsets outside of the text": 1}),
    "bioc: few keys": ("a.json", json.dumps({"source": "s", "documents": [bioc_json()]}), "bioc", KIM_ALONE, {}),
    "bioc: of PubTator": ("a.json", json.dumps({"PubTator3": [bioc_json(relations=[])]}), "bioc", KIM_ALONE, {}),
    "bioc: in a list": ("a.json", [{"source": "s", "infons": {}, "documents": [bioc_json()]}], "bioc", KIM_ALONE, {}),
}
REFUSED = {
    "conllu: no tags": (
        "a.conllu",
        conllu((1, "Kim", "SpaceAfter=No|Entity=(person")),
        r"O401.*NER=.*entity, spaceafter",
    ),
    "conllu: tags of no scheme": ("a.conllu", conllu((1, "Kim", "NER=PER")), r"O401.*line 1.*NER=B-person"),
    "conllu: a number without an end": (
        "a.conllu",
        conllu((1, "Kim", "NER=B-PER"), ("1-" + "9" * 5_000, "Kim", "_")),
        r"O401.*line 2",
    ),
    "conllu: few columns": ("a.conllu", conllu((1, "Kim", "NER=B-PER")).rstrip("\n") + "\n2\tLee\n", r"O401.*line 2"),
    "numbers in sentences of one word": (
        "a.tsv",
        "1\tKim\tB-PER\n\n1\tOslo\tB-LOC\n",
        r"O410.*line 1.*--word-column 1",
    ),
    "numbers through the file": ("a.tsv", "57\tKim\tB-PER\n58\tLee\tI-PER\n\n59\tOslo\tO\n", r"O410.*57, 58"),
    "numbers with points": ("a.tsv", "7.1\tKim\tB-PER\n7.2\tLee\tI-PER\n", r"O410.*--word-column 1"),
    "numbers of sentence and word": ("a.tsv", "1\t1\tKim\tB-PER\n1\t2\tLee\tI-PER\n", r"O410.*--word-column 2"),
    "offsets": ("a.tsv", "0\t3\tKim\tB-PER\n4\t7\tLee\tI-PER\n", r"O410.*--word-column 2"),
    "names of documents": ("a.tsv", "wsj\tKim\tB-PER\nwsj\tLee\tI-PER\n", r"O410.*wsj.*--word-column 1"),
    "several tags in a cell": ("a.conll", "Kim B-PER|B-ACTOR\nLee I-PER|I-ACTOR\n", r"O401.*line 1"),
    "a text that ends like a tag": (
        "a.json",
        '[{"tokens": "Kim", "ner_tags": "B-PER"}]',
        r"O401.*line 1.*hugging-face",
    ),
    "layers of one name": (
        "a.tsv",
        WEBANNO.format("#T_SP=y.NamedEntity|value\n", "LOC\t"),
        r"O414.*y\.NamedEntity, x\.NamedEntity",
    ),
    "a sentence far away": (
        "a.xml",
        HEAD + "<passage><offset>0</offset><sentence><offset>99999999999</offset><text>Kim</text></sentence></passage>"
        "</document></collection>",
        r"O403.*document 1.*99999999999",
    ),
}


def written(path, content):
    lines = [json.dumps(each, ensure_ascii=False) for each in content] if isinstance(content, list) else content
    text = lines if isinstance(lines, str) else f"[{', '.join(lines)}]" if path.suffix == ".json" else "\n".join(lines)
    path.write_text(text, encoding="utf8", newline="")
    return path


def entities(texts):
    said = [(" ".join(text.tokens[a:b]).split(), label) for text in texts for a, b, label in text.spans]
    return [(" ".join(words), label) for words, label in said]


@pytest.mark.parametrize(("name", "content", "kind", "expected", "findings"), READ.values(), ids=READ)
def test_what_is_read_and_what_is_counted(name, content, kind, expected, findings, tmp_path):
    if kind == "bioc":
        pytest.importorskip("bioc")
    path, tally = written(tmp_path / name, content), Tally()
    assert detect_format(path) == kind
    assert entities(read(path, kind, tally)) == expected
    counted = chain(tally.dropped.items(), tally.repaired.items(), tally.skipped.items(), tally.unread.items())
    assert {reason: finding.count for reason, finding in counted} == findings


@pytest.mark.parametrize(("name", "content", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(name, content, message, tmp_path):
    path = written(tmp_path / name, content)
    kind = detect_format(path)
    if kind == "bioc":
        pytest.importorskip("bioc")
    with pytest.raises(DataError, match=message):
        list(read(path, kind))


def test_words_that_are_numbers_may_be_named(tmp_path):
    path = written(tmp_path / "a.tsv", "7\tCD\tB-X\n")
    assert entities(read(path, "columns", word_column=0)) == [("7", "X")]
    assert entities(read(written(path, "7\tCD\tB-X\n\nKim\tNN\tO\n"), "columns")) == [("7", "X")]


@pytest.mark.parametrize(
    "names",
    [
        {"O": 0, "B-PER": 1, "I-PER": 2, "B-LOC": 3},
        {str(i): tag for i, tag in enumerate(TAGS)},
        {"id2label": {str(i): tag for i, tag in enumerate(TAGS)}},
        {"model_type": "bert", "label2id": {tag: i for i, tag in enumerate(TAGS)}},
    ],
)
def test_names_of_tags_as_configs_of_models_have_them(names, tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps(names))
    assert entities(read(written(tmp_path / "a.jsonl", [TAGGED]), "hugging-face")) == [KIM, OSLO]


@pytest.mark.parametrize("names", [{"O": 0, "B-PER": 2}, {"0": "O", "x": "B-PER"}, {"O": True, "B-PER": 1}, {}])
def test_other_mappings_are_no_names(names, tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps(names))
    with pytest.raises(DataError, match=r"O413"):
        list(read(written(tmp_path / "a.jsonl", [TAGGED]), "hugging-face"))


@pytest.mark.parametrize(
    ("ann", "expected", "findings"),
    [
        ("T1\tPER 4 7\tLee\n", [("Lee", "PER")], "offsets in characters of a text with single line ends"),
        ("T1\tPER 13 17;4 7\tOslo Lee\n", [], "discontinuous"),
        ("X1\twhat\n", [], "line of another kind"),
    ],
)
def test_odd_files_of_brat(ann, expected, findings, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"Kim\r\nLee flew Oslo")
    (tmp_path / "b.txt").write_text("Nobody annotated this.")
    (tmp_path / "a.ann").write_text(ann)
    tally = Tally()
    assert entities(read(tmp_path, "brat", tally)) == expected
    assert [*tally.skipped] == ["text without a file of annotation"]
    assert findings in str(tally)


@pytest.mark.parametrize(("name", "kind"), [("webanno: chains", "webanno"), ("bioc: few keys", "bioc")])
def test_directories_are_told_by_a_file_in_them(name, kind, tmp_path):
    written(tmp_path / READ[name][0], READ[name][1])
    assert detect_format(tmp_path) == kind


def test_spaces_and_documents_of_conllu(tmp_path):
    content = conllu((1, "Kim", "SpaceAfter=No|NER=B-PER"), (2, "'s", "_"), head="# newdoc id = 1\n")
    content += conllu(("1-2", "don't", "_"), (1, "do", "_"), (2, "n't", "_"), (3, ".", "_"), head="# newdoc\n")
    content += conllu(("1-2", "al", "_"), (1, "a", "_"), (2, "el", "_"), (3, ".", "_"), head="# newdoc\n")
    first, second, third = read(written(tmp_path / "a.conllu", content), "conllu")
    assert (first.tokens, first.spaces) == (("Kim", "'s"), (False, True))
    assert (second.tokens, second.spaces) == (("do", "n't", "."), (False, True, True))
    assert (third.tokens, third.spaces) == (("a", "el", "."), (True, True, True))
    assert (first.starts_doc, second.starts_doc, third.starts_doc) == (True, True, True)
    plain = read(written(tmp_path / "a.conllu", content.replace("# newdoc\n", "# x\n")), "conllu")
    assert [text.starts_doc for text in plain] == [True, False, False]

"""Formats of annotation tools and corpora: what is annotated is read, and the rest is counted by reason."""

import gzip
import json
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Corpus

from spacy_openner.data import biomedical
from spacy_openner.data.brat import read_brat
from spacy_openner.data.convert import convert
from spacy_openner.data.formats import READERS, detect_format, read
from spacy_openner.data.texts import Tally
from spacy_openner.errors import DataError, MissingExtra, TextError
from spacy_openner.labels import get_labels

TEXT = "😀 Kim Lee flew to Oslo."
TOKENS = ("😀", "Kim", "Lee", "flew", "to", "Oslo", ".")
PERSON, CITY, NAME = (2, 9, "person"), (18, 22, "city"), (6, 9, "name")
SPANS = [(1, 3, "person"), (2, 3, "name"), (5, 6, "city")]


def write(path, *values, text=None):
    """Write JSON lines, or a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    path.write_text(lines if text is None else text, encoding="utf8", newline="")
    return path


def counts(findings):
    return {reason: finding.count for reason, finding in findings.items()}


def one(path, kind, **options):
    """Read a file of one text, whose format is told by itself, too."""
    assert detect_format(path) == kind
    tally = Tally()
    (text,) = read(path, kind, tally, **options)
    return text, tally


def as_dicts(*marks, start="start", end="end"):
    return [{start: a, end: b, "label": label} for a, b, label in marks]


PRODIGY_TOKENS = [
    {"text": word, "start": start, "end": start + len(word), "id": i, "ws": True}
    for i, (word, start) in enumerate([("😀", 0), ("Kim", 2), ("Lee", 6), ("flew to", 10), ("Oslo", 18), (".", 22)])
]
PRODIGY = {"text": TEXT, "_input_hash": 1, "_task_hash": 2, "spans": as_dicts(PERSON, NAME, CITY), "answer": "accept"}
REGION = {"start": 2, "end": 9, "text": "Kim Lee", "labels": ["person"]}
# JavaScript counts the sign in front as two.
UTF16_REGIONS = [
    {"start": 3, "end": 10, "text": "Kim Lee", "labels": ["person"]},
    {"start": 7, "end": 10, "text": "Lee", "labels": ["name"]},
    {"start": 19, "end": 23, "text": "Oslo", "labels": ["city"]},
]


def results(*regions):
    return [{"id": "x", "type": "labels", "from_name": "label", "to_name": "text", "value": r} for r in regions]


def task(*annotations, data=None):
    return {"id": 1, "data": data or {"text": TEXT}, "annotations": list(annotations), "predictions": [{"result": []}]}


# All of them say the same about the same text.
SAME = {
    "prodigy": PRODIGY,
    "prodigy, tokens": {**PRODIGY, "tokens": [*PRODIGY_TOKENS]},
    "doccano": {"id": 7, "text": TEXT, "label": [PERSON, NAME, CITY]},
    "doccano, older": {"id": 7, "data": TEXT, "label": [PERSON, NAME, CITY]},
    "doccano, relations": {
        "id": 7,
        "text": TEXT,
        "entities": [
            {"id": 1, **each} for each in as_dicts(PERSON, NAME, CITY, start="start_offset", end="end_offset")
        ],
        "relations": [],
        "Comments": [],
    },
    "label-studio": task({"result": results(*UTF16_REGIONS), "was_cancelled": False}),
    "label-studio, short": {"id": 1, "text": TEXT, "label": UTF16_REGIONS, "annotator": 1, "annotation_id": 2},
    "spacy-json": [TEXT, {"entities": [PERSON, NAME, CITY]}],
    "spacy-json, spans": {"text": TEXT, "spans": as_dicts(PERSON, NAME, CITY)},
    "spacy-json, displacy": {"text": TEXT, "ents": as_dicts(PERSON, NAME, CITY), "title": None},
    "spacy-json, objects": {"text": TEXT, "entities": as_dicts(PERSON, NAME, CITY)},
    "spacy-json, annotator": {"classes": ["PERSON"], "annotations": [[TEXT, {"entities": [PERSON, NAME, CITY]}], None]},
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("layout", ["lines", "list"])
def test_records_with_character_offsets(name, layout, tmp_path):
    kind, record = name.split(",")[0], SAME[name]
    path = write(tmp_path / "a.json", record if layout == "lines" else [record])
    text, tally = one(path, kind)
    assert "".join(text.tokens) == TEXT.replace(" ", "") or text.tokens[3] == "flew to"
    found = sorted((" ".join(text.tokens[start:end]), label) for start, end, label in text.spans)
    assert found == [("Kim Lee", "person"), ("Lee", "name"), ("Oslo", "city")]
    assert counts(tally.dropped) == {}
    repaired = {"offsets in UTF-16 units, turned into characters": 3} if kind == "label-studio" else {}
    assert counts(tally.repaired) == repaired
    assert text.where == f"{path}, line 1"


def test_tokens_of_prodigy_are_kept(tmp_path):
    record = {**PRODIGY, "tokens": PRODIGY_TOKENS}
    text, _ = one(write(tmp_path / "a.jsonl", record), "prodigy")
    assert text.tokens == ("😀", "Kim", "Lee", "flew to", "Oslo", ".")
    assert text.spaces == (True, True, True, True, False, False)
    assert sorted(text.spans) == [(1, 3, "person"), (2, 3, "name"), (4, 5, "city")]
    broken = {**record, "tokens": [*PRODIGY_TOKENS, {"start": 3, "end": 5}]}
    with pytest.raises(DataError, match=r"O401.*a.jsonl, line 1.*tokens in order"):
        one(write(tmp_path / "a.jsonl", broken), "prodigy")


def test_answers_of_prodigy(tmp_path):
    answers = ["accept", "reject", "ignore", "reject"]
    records = [{**PRODIGY, "answer": answer} for answer in answers]
    path, tally = write(tmp_path / "a.jsonl", *records, {**PRODIGY, "relations": [{"head": 1}]}), Tally()
    assert len(list(read(path, "prodigy", tally))) == 2
    assert counts(tally.skipped) == {'answer "reject"': 2, 'answer "ignore"': 1}
    assert counts(tally.unread) == {'"relations" of a task': 1}
    with pytest.raises(DataError, match=r"O401.*line 1.*accept"):
        list(read(write(path, {**PRODIGY, "answer": "perhaps"}), "prodigy"))


def test_entities_that_do_not_fit_are_counted(tmp_path):
    marks = [(2, 9, "x"), (3, 5, "x"), (4, 4, "x"), (9, 10, "x"), (20, 99, "x"), (-3, 2, "x"), (9, 2, "x")]
    text, tally = one(write(tmp_path / "a.jsonl", [TEXT, {"entities": marks, "cats": {"POS": 1}}]), "spacy-json")
    assert text.spans == ((1, 3, "x"), (1, 2, "x"))
    assert counts(tally.dropped) == {"empty": 3, "offsets outside of the text": 2}
    assert counts(tally.repaired) == {"entity that starts or ends inside a token, widened to it": 1}
    assert counts(tally.unread) == {'"cats"': 1}


def test_many_pairs_in_lines_and_in_one_list(tmp_path):
    pairs = [["Kim left", {"entities": [[0, 3, "person"]]}], ["Rain", {"entities": []}]]
    for layout in (pairs, [pairs]):
        path = write(tmp_path / "a.json", *layout)
        assert detect_format(path) == "spacy-json"
        assert [text.spans for text in read(path, "spacy-json")] == [((0, 1, "person"),), ()]
    path = write(tmp_path / "b.json", text=json.dumps(pairs, indent=2))
    assert [text.tokens for text in read(path, "spacy-json")] == [("Kim", "left"), ("Rain",)]


# Label Studio


def test_what_is_no_entity_of_a_plain_text_is_left(tmp_path):
    html = {"start": "/div[1]/p[1]/text()[1]", "end": "/p[1]", "startOffset": 3, "endOffset": 9, "labels": ["x"]}
    other = [{"type": "relation", "from_id": "a", "to_id": "b"}, {"type": "choices", "value": {"choices": ["good"]}}]
    first = {"result": results({**REGION, "labels": ["person", "human"]}, html) + other}
    path = write(tmp_path / "a.json", task({"result": [], "was_cancelled": True}, first, {"result": []}))
    text, tally = one(path, "label-studio")
    assert text.spans == ((1, 3, "person"), (1, 3, "human"))
    assert counts(tally.unread) == {
        "cancelled annotation of a task": 1,
        "further annotation of a task": 1,
        "region of HTML, audio or others": 1,
        "result of type 'relation'": 1,
        "result of type 'choices'": 1,
    }
    assert not tally.repaired


def test_ground_truth_comes_first_and_tasks_without_annotation_are_skipped(tmp_path):
    truth = {"result": results({**REGION, "labels": ["human"]}), "ground_truth": True}
    path = write(tmp_path / "a.json", task({"result": results(REGION)}, truth), task())
    text, tally = one(path, "label-studio")
    assert text.spans == ((1, 3, "human"),)
    assert counts(tally.skipped) == {"task without annotation": 1}


def test_texts_that_differ_from_their_regions_are_dropped(tmp_path):
    wrong = {**REGION, "text": "Kim Loe"}
    _, tally = one(write(tmp_path / "a.json", task({"result": results(wrong)})), "label-studio")
    assert counts(tally.dropped) == {"offsets that do not hold the annotated text": 1}
    without = {key: value for key, value in UTF16_REGIONS[0].items() if key != "text"}
    text, tally = one(write(tmp_path / "a.json", task({"result": results(without)})), "label-studio")
    assert text.spans == ((1, 3, "person"),)
    assert counts(tally.repaired) == {"offsets in UTF-16 units, turned into characters": 1}


def test_the_text_of_a_task(tmp_path):
    data = {"body": TEXT, "url": "http://a.b"}
    path = write(tmp_path / "a.json", task({"result": results(REGION)}, data=data))
    with pytest.raises(DataError, match=r"O412.*a.json, line 1.*body, url.*--text-key"):
        one(path, "label-studio")
    assert one(path, "label-studio", text_key="body")[0].spans == ((1, 3, "person"),)
    assert one(write(path, task({"result": results(REGION)}, data={"body": TEXT})), "label-studio")[0].spans


# Hugging Face

TAGS = ["O", "B-person", "I-person", "B-city", "I-city"]
RECORD = {"id": "0", "tokens": ["Kim", "Lee", "in", "Oslo"], "ner_tags": [1, 2, 0, 3]}
FEATURES = {"tokens": {"feature": {"dtype": "string"}}, "ner_tags": {"feature": {"names": TAGS, "_type": "ClassLabel"}}}
INFOS = {
    "dataset_info.json": {"features": FEATURES, "splits": {}},
    "dataset_infos.json": {"conll2003": {"description": "", "features": FEATURES}},
    "labels.json": TAGS,
    "features.json": {
        "dataset_info": {
            "features": [
                {"name": "tokens", "sequence": "string"},
                {"name": "ner_tags", "sequence": {"class_label": {"names": {str(i): n for i, n in enumerate(TAGS)}}}},
            ]
        }
    },
}


@pytest.mark.parametrize("name", INFOS)
def test_names_of_tags_are_found_beside(name, tmp_path):
    (tmp_path / name).write_text(json.dumps(INFOS[name]))
    text, tally = one(write(tmp_path / "a.jsonl", RECORD), "hugging-face")
    assert text.spans == ((0, 2, "person"), (3, 4, "city"))
    assert tally == Tally()


def test_names_of_tags_are_given_or_stand_in_the_records(tmp_path):
    path = write(tmp_path / "a.jsonl", RECORD)
    with pytest.raises(DataError, match=r"O413.*ner_tags.*--tag-names"):
        one(path, "hugging-face")
    names = tmp_path / "names"
    names.write_text(json.dumps(TAGS))
    assert one(path, "hugging-face", tag_names=names)[0].spans == ((0, 2, "person"), (3, 4, "city"))
    names.write_text(json.dumps(TAGS[:2]))
    with pytest.raises(DataError, match=r"O401.*line 1.*numbers of 2 tags.*number 2"):
        one(path, "hugging-face", tag_names=names)
    names.write_text('{"a": 1}')
    with pytest.raises(DataError, match=r"O404.*names"):
        one(path, "hugging-face", tag_names=names)
    named = {"tokens": RECORD["tokens"], "tags": [TAGS[i] for i in RECORD["ner_tags"]]}
    (text,) = read(write(path, named), "hugging-face", tags_key="tags")
    assert text.spans == ((0, 2, "person"), (3, 4, "city"))


@pytest.mark.parametrize("tags", [[1, 2], None, ["B-person", 0, 0, 0], ["person", "O", "O", "O"], [True] * 4])
def test_tags_that_do_not_fit_are_refused(tags, tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps(TAGS))
    path = write(tmp_path / "a.jsonl", RECORD, {**RECORD, "ner_tags": tags})
    with pytest.raises(DataError, match=r"O401.*a.jsonl, line 2"):
        list(read(path, "hugging-face"))


# WebAnno

WEBANNO = """#FORMAT=WebAnno TSV 3.3
#T_SP=de.tudarmstadt.ukp.dkpro.core.api.lexmorph.type.pos.POS|PosValue
#T_SP=de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity|identifier|value
#T_RL=de.tudarmstadt.ukp.dkpro.core.api.syntax.type.dependency.Dependency|DependencyType|BT_de.tudarmstadt.POS


#Text=Kim Lee-Ng flew to Oslo.
1-1\t0-3\tKim\tPROPN\t*[1]|*[2]\tperson[1]|pers\\|on[2]\t_\t_\t
1-2\t4-10\tLee-Ng\tPROPN\t*[1]\tperson[1]\t_\t_\t
1-2.1\t8-10\tNg\t_\t*\tname\t_\t_\t
1-3\t11-15\tflew\tVERB\t_\t_\t_\t_\t
1-4\t16-18\tto\t_\t_\t_\t_\t_\t
1-5\t19-23\tOslo\tPROPN\t*\tcity\t_\t_\t
1-6\t23-24\t.\t_\t_\t_\t_\t_\t

#Text=It rained
2-1\t26-28\tIt\tPRON\t*\t*\t_\t_\t
2-2\t29-35\trained\tVERB\t_\t_\t_\t_\t
"""


def test_webanno(tmp_path):
    path = write(tmp_path / "a.tsv", text=WEBANNO)
    text, tally = one(path, "webanno")
    assert text.tokens == ("Kim", "Lee-Ng", "flew", "to", "Oslo", ".", "It", "rained")
    assert text.spaces == (True, True, True, True, False, True, True, False)
    assert text.sent_starts == (0, 6)
    assert sorted(text.spans) == [
        (0, 1, "pers|on"),
        (0, 2, "person"),
        (1, 2, "name"),
        (4, 5, "city"),
        (6, 7, ""),
    ]
    assert counts(tally.repaired) == {"entity that starts or ends inside a token, widened to it": 1}
    assert counts(tally.unread) == {'layer "POS", which --layer POS reads': 1}
    assert convert(path, tmp_path / "a.spacy").dropped.keys() == {"without a label"}


def test_layers_of_webanno(tmp_path):
    custom = WEBANNO.replace("de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity", "webanno.custom.Term")
    path = write(tmp_path / "a.tsv", text=custom)
    with pytest.raises(DataError, match=r"O414.*line 8.*POS, Term.*--layer"):
        one(path, "webanno")
    assert (4, 5, "city") in one(path, "webanno", layer="Term")[0].spans
    assert (4, 5, "PROPN") in one(path, "webanno", layer="POS")[0].spans


@pytest.mark.parametrize(
    ("text", "line"),
    [(WEBANNO.replace("1-3\t", "x\t"), 11), (WEBANNO.replace("VERB\t_\t_\t_\t_\t", "VERB"), 11), ("Kim\n", 1)],
)
def test_broken_webanno_files(text, line, tmp_path):
    with pytest.raises(DataError, match=rf"O401.*a.tsv, line {line}"):
        list(read(write(tmp_path / "a.tsv", text=text), "webanno"))


# UIMA


def save_cas(path, text=TEXT, tokens=True):
    """Write a file as INCEpTION exports it, with its description of types."""
    cassis = pytest.importorskip("cassis")
    types = cassis.TypeSystem()
    entity = types.create_type("de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity")
    types.create_feature(entity, "value", "uima.cas.String")
    token = types.create_type("de.tudarmstadt.ukp.dkpro.core.api.segmentation.type.Token")
    cas = cassis.Cas(typesystem=types)
    cas.sofa_string, cas.sofa_mime = text, "text/plain"
    for start, end, label in (PERSON, NAME, CITY):
        cas.add(entity(begin=start, end=end, value=label))
    for each in PRODIGY_TOKENS if tokens else ():
        cas.add(token(begin=each["start"], end=each["end"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    cas.to_xmi(path)
    types.to_xml(path.with_name("TypeSystem.xml"))
    return path


@pytest.mark.parametrize("tokens", [False, True])
def test_xmi(tokens, tmp_path):
    path = save_cas(tmp_path / "in" / "a.xmi", tokens=tokens)
    text, tally = one(path, "xmi")
    assert text.tokens == (("😀", "Kim", "Lee", "flew to", "Oslo", ".") if tokens else TOKENS)
    assert sorted((text.tokens[start:end], label) for start, end, label in text.spans) == [
        (("Kim", "Lee"), "person"),
        (("Lee",), "name"),
        (("Oslo",), "city"),
    ]
    assert tally == Tally()
    assert detect_format(path.parent) == "xmi"
    assert convert(path.parent, tmp_path / "a.spacy").types == {"person": 1, "name": 1, "city": 1}
    with pytest.raises(DataError, match=r"O414.*a.xmi.*NamedEntity, Token\..*--layer"):
        one(path, "xmi", layer="Term")


def test_broken_xmi_files(tmp_path):
    path = save_cas(tmp_path / "a.xmi")
    path.write_text(path.read_text(encoding="utf8")[:200], encoding="utf8")
    with pytest.raises(DataError, match=r"O403.*a.xmi"):
        list(read(path, "xmi"))
    path.with_name("TypeSystem.xml").unlink()
    with pytest.raises(DataError, match=r"O403.*TypeSystem.xml"):
        list(read(path, "xmi"))


def test_a_format_without_its_library(tmp_path, monkeypatch):
    for kind, module in (("xmi", "cassis"), ("bioc", "bioc")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtra, match=r"O301.*spacy-openner\[formats\]"):
            list(read(write(tmp_path / "a.xml", text="<collection/>"), kind))


# BioC and PubTator


def collection():
    bioc = pytest.importorskip("bioc")
    made, document, passage = bioc.BioCCollection(), bioc.BioCDocument(), bioc.BioCPassage()
    document.id, passage.offset, passage.text = "1", 0, "Kinase."
    second = bioc.BioCPassage()
    second.offset, second.text = 8, "Kim saw bone and joint pain."
    marks = [("Person", "Kim", [(8, 3)]), ("Pain", "joint pain", [(25, 10)]), ("Pain", "bone pain", [(16, 4), (31, 4)])]
    for i, (label, text, parts) in enumerate([*marks, ("Pain", "knee", [(16, 4)])]):
        annotation = bioc.BioCAnnotation()
        annotation.id, annotation.text, annotation.infons = str(i), text, {"type": label}
        annotation.locations = [bioc.BioCLocation(start, length) for start, length in parts]
        second.add_annotation(annotation)
    relation = bioc.BioCRelation()
    relation.id = "R1"
    second.add_relation(relation)
    for each in (passage, second):
        document.add_passage(each)
    made.add_document(document)
    made.source, made.date, made.key = "test", "2026", "test.key"
    return made


@pytest.mark.parametrize("suffix", ["xml", "json"])
def test_bioc(suffix, tmp_path):
    made = collection()
    from bioc import biocjson, biocxml

    path = write(tmp_path / f"a.{suffix}", text=(biocxml if suffix == "xml" else biocjson).dumps(made))
    assert detect_format(path) == "bioc"
    tally = Tally()
    first, second = read(path, "bioc", tally)
    assert (first.tokens, first.spans, first.starts_doc) == (("Kinase", "."), (), True)
    assert second.tokens == ("Kim", "saw", "bone", "and", "joint", "pain", ".")
    assert second.spans == ((0, 1, "Person"), (4, 6, "Pain"))
    assert not second.starts_doc
    assert counts(tally.dropped) == {"discontinuous": 1, "offsets that do not hold the annotated text": 1}
    assert counts(tally.unread) == {"relation": 1}
    assert list(read(path, "bioc", discontinuous="join"))[1].spans == ((0, 1, "Person"), (4, 6, "Pain"), (2, 6, "Pain"))
    with pytest.raises(DataError, match=r"O403.*no BioC collection"):
        list(read(write(path, text=path.read_text()[:80]), "bioc"))


def test_collections_that_are_too_large_are_refused(tmp_path, monkeypatch):
    pytest.importorskip("bioc")
    monkeypatch.setattr(biomedical, "LARGEST", 1 << 20)
    path = tmp_path / "a.xml.gz"
    path.write_bytes(gzip.compress(b"<collection>" + b" " * (3 << 20)))
    with pytest.raises(DataError, match=r"O403.*a.xml.gz.*more than 1 MB"):
        list(read(path, "bioc"))


def test_pubtator(tmp_path):
    lines = [
        "1|t|Kinase in pain",
        "1|a|Kim had joint pain.",
        "1\t0\t6\tKinase\tGene\t5594",
        "1\t15\t18\tKim\tPerson",
        "1\t23\t33\tjoint pain\tPain\tD1|D2\tD1|D2",
        "1\tCID\tD1\tD2",
        "",
        "2|t|Rain",
        "2|a|",
    ]
    path, tally = write(tmp_path / "a.txt", text="\r\n".join(lines)), Tally()
    assert detect_format(path) == "pubtator"
    first, second = read(path, "pubtator", tally)
    assert sorted((" ".join(first.tokens[a:b]), label) for a, b, label in first.spans) == [
        ("Kim", "Person"),
        ("Kinase", "Gene"),
        ("joint pain", "Pain"),
    ]
    assert "".join(second.tokens).strip() == "Rain"
    assert counts(tally.unread) == {"relation": 1}
    assert not tally.dropped
    with pytest.raises(DataError, match=r"O401.*a.txt, line 2.*mentions"):
        list(read(write(path, text="1|t|Rain\n1\t0\n"), "pubtator"))


# What all have in common


@pytest.mark.parametrize("kind", ["prodigy", "doccano", "label-studio", "spacy-json", "hugging-face"])
@pytest.mark.parametrize(
    "value",
    [
        5,
        "x",
        None,
        {},
        [5],
        {"text": 5},
        {"text": "a", "spans": 5, "entities": 5, "label": 5},
        {"text": "a", "spans": [5], "entities": [5], "label": [[0, "1", "x"]]},
        {
            "text": "a",
            "spans": [{"start": 0, "end": None, "label": "x"}],
            "entities": [[0, 1]],
            "label": [[0, 1, None]],
        },
        {"data": 5, "annotations": 5},
        {"data": {"text": "a"}, "annotations": [5]},
        {"data": {"text": "a"}, "annotations": [{"result": 5}]},
        {"tokens": 5, "ner_tags": 5},
    ],
)
def test_records_of_another_form_name_their_line(kind, value, tmp_path):
    path = write(tmp_path / "a.jsonl", value)
    if kind == "label-studio" and isinstance(value, dict) and value.get("text") == "a" and value["spans"] == 5:
        # A task without regions, and one whose regions are of other data.
        tally = Tally()
        list(read(path, kind, tally))
        assert tally.skipped or tally.unread
        return
    with pytest.raises(DataError, match=r"O4(01|12).*a.jsonl, line 1"):
        list(read(path, kind))


def test_half_characters_are_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", text='{"text": "a \\ud83d b", "label": []}\n')
    with pytest.raises(TextError, match=r"O203.*line 1"):
        list(read(path, "doccano"))


def test_files_are_converted_whole(tmp_path):
    path = write(tmp_path / "a.jsonl", SAME["doccano"], SAME["doccano"])
    report = convert(path, tmp_path / "a.spacy", n_sents=5)
    assert (report.format, report.docs, report.types) == ("doccano", 2, {"person": 2, "name": 2, "city": 2})
    nlp = spacy.blank("en")
    doc = next(iter(DocBin().from_disk(tmp_path / "a.spacy").get_docs(nlp.vocab)))
    assert doc.text == TEXT
    assert sorted((span.start, span.end, span.label_) for span in doc.spans["openner"]) == sorted(SPANS)
    assert [example.predicted.text for example in Corpus(tmp_path / "a.spacy")(nlp)] == [TEXT] * 2


# GLiNER's own types


def test_types_that_a_record_of_gliners_is_annotated_with(tmp_path):
    words = {"tokenized_text": ["Kim", "left"], "ner": [[0, 0, "PER"]]}
    path = write(
        tmp_path / "a.json",
        {**words, "ner_negatives": ["LOC", "MISC"]},
        {**words, "ner_labels": ["PER", "ORG"]},
        words,
        words,
    )
    report = convert(path, tmp_path / "a.spacy", labels={"PER": "person", "MISC": None}, n_sents=9)
    assert (report.format, report.docs) == ("gliner", 3)
    docs = list(DocBin().from_disk(tmp_path / "a.spacy").get_docs(spacy.blank("en").vocab))
    assert [get_labels(doc) and list(get_labels(doc)) for doc in docs] == [["person", "loc"], ["person", "org"], None]
    listed = json.loads((tmp_path / "a.labels.json").read_text())
    assert sorted(listed) == ["loc", "org", "person"]
    with pytest.raises(DataError, match=r"O401.*line 1.*lists of types"):
        convert(write(path, {**words, "ner_labels": "PER"}), tmp_path / "b.spacy")


def test_every_format_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "formats.md").read_text(encoding="utf8")
    assert all(f"| `{kind}` |" in page for kind in READERS)


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffAda was in Oslo.".encode())
    (tmp_path / "a.ann").write_text("T1\tperson 1 4\tAda\nT2\tcity 12 16\tOslo\n", encoding="utf8")
    (text,) = read_brat(tmp_path)
    assert text.tokens == ("Ada", "was", "in", "Oslo", ".")
    assert text.spans == ((0, 1, "person"), (3, 4, "city"))

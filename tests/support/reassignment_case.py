"""A pipeline of rules that finds entities of source types, gold docs of target types, and what lies between them."""

import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span

PEOPLE = ["Ada", "Bob", "Kim", "Lee", "Max", "Zoe"]
PLACES = ["Oslo", "Rome", "Bath"]
GOLD = {
    **dict.fromkeys(["Ada", "Bob", "Kim"], "politician"),
    **dict.fromkeys(["Lee", "Max"], "musician"),
    "Oslo": "city",
    "Rome": "city",
    "Bath": "river",
}
"""Zoe is none of the target types."""
TABLE = {"politician": "person", "musician": "person", "city": "place", "river": "place"}
TEXTS = ["Ada and Bob met in Oslo .", "", "Lee saw Kim", "Zoe", "Rain fell .", "Max left Rome for Bath"]


def source_nlp(**more: str) -> Language:
    """Rules that call people "person" and places "place"; more words with their types."""
    nlp = spacy.blank("en")
    types = {**dict.fromkeys(PEOPLE, "person"), **dict.fromkeys(PLACES, "place"), **more}
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": label, "pattern": word, "id": f"{word}-1"} for word, label in types.items()])
    return nlp


def lar_nlp(reassigner: dict | None = None, **config) -> Language:
    """The rules, and a lar_reassigner behind them."""
    nlp = source_nlp(**config.pop("more", {}))
    own = {} if reassigner is None else {"reassigner": reassigner}
    nlp.add_pipe("lar_reassigner", config={"table": TABLE, **own, **config})
    return nlp


def llm(url: str, *, entities_per_request: int = 8, context: int = 200, **client) -> dict:
    """The config of an LLMReassigner."""
    settings = {"model": "tiny", "base_url": url, "timeout": 30.0, "max_wait": 2.0, **client}
    return {
        "@misc": "spacy-openner.LLMReassigner.v1",
        "client": {"@misc": "spacy-openner.LLMClient.v1", **settings},
        "entities_per_request": entities_per_request,
        "context": context,
    }


def span_matcher(path) -> dict:
    """The config of a SpanTypeReassigner with a checkpoint of its own."""
    model = {"@architectures": "spacy-openner.SpanMatcher.v1", "name": str(path), "precision": "float32"}
    return {"@misc": "spacy-openner.SpanTypeReassigner.v1", "model": model}


def generator(path) -> dict:
    """The config of a GeneratorReassigner with a model of its own."""
    model = {"@architectures": "spacy-openner.Generator.v1", "name": str(path), "precision": "float32"}
    return {"@misc": "spacy-openner.GeneratorReassigner.v1", "model": model}


def gated(first: dict, second: dict, **config) -> dict:
    """The config of a GatedReassigner."""
    return {"@misc": "spacy-openner.GatedReassigner.v1", "first": first, "second": second, **config}


def gold_doc(nlp: Language, text: str, gold: dict[str, str] | None = None) -> Doc:
    """A doc with its gold entities."""
    doc = nlp.make_doc(text)
    types = GOLD if gold is None else gold
    doc.ents = [Span(doc, token.i, token.i + 1, label=types[token.text]) for token in doc if token.text in types]
    return doc


def ents(doc: Doc) -> dict[str, str]:
    """Entities of a doc: text -> type."""
    return {ent.text: ent.label_ for ent in doc.ents}

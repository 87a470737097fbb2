"""Messages of warnings, by code."""

WARNINGS: dict[str, str] = {
    "W001": "{name!r} has no labels, and the doc names none: nothing is looked for. "
    "Set `labels`, or doc._.openner_labels.",
    "W002": "{repo!r} is loaded without a revision: what the hub serves may change. Pin one with `revision`.",
    "W003": "The word {word!r}... takes {size} subwords; only its first {budget} fit the model and were read. "
    "(This is said of the first, the tenth and the hundredth such word, and so on.)",
    "W004": "doc.spans[{key!r}] held {n} spans of another origin; {name!r} replaces them. Use another `spans_key`.",
    "W005": "`{setting}` names {labels}, which are not among the labels; that has no effect.",
    "W006": "Training met {n} gold spans of more than {widest} words, the widest that the model can express; they are "
    'not taught. A new head takes `max_width` at initialize: head = {{"max_width": ...}}.',
    "W013": "{name!r} is trained on texts without any annotation of entities: it learns nothing. Check that the "
    "corpus holds entities in doc.ents or in the span group `spans_key`.",
    "W014": "{name!r} is not trained on the gold labels {labels}: they are not among the types of their texts. If they "
    "are the ones in brackets, these are taught as absent where they are present. Use the same names in both.",
    "W015": "{name!r} is not trained on the gold labels {labels}: they are not among the types of their texts, which "
    "are {known}. Add them to `labels`, or to the list beside the corpus.",
    "W016": "{name!r}: {n} references of an update have entities in doc.ents, but no span group {key!r}, which others "
    "have. What is only in the group is taught as absent there. spacy.Corpus.v1 drops groups with `max_length` and "
    "`gold_preproc`; read the corpus with spacy-openner.OpenNERCorpus.v1.",
    "W023": "{name!r}: {n} entities of doc.ents are not in the span group {key!r} of the same reference, such as "
    "{text!r} ({label!r}). The group alone counts where it is set, so they are taught as absent. Put them into the "
    "group, or remove it.",
    "W024": "{name!r}: {n} references of an update have entities in neither the span group {key!r} nor doc.ents, but "
    "spans in other groups: {groups}. These are not read, and the references teach nothing, beside others that do. "
    "Copy them.",
    "W017": "{name!r} is trained at a rate of {rate:g} in all its parts; more than {highest:g} ruins weights that were "
    "loaded within a few updates. Use nlp.resume_training() with the component's own optimizer "
    "(pipe.create_optimizer()), spacy-openner.LayerwiseAdam.v1, or a lower rate.",
    "W018": "{n} spans of doc.spans[{key!r}] begin or end inside a token that was merged, and are left out. Merge "
    "tokens behind what reads these spans.",
    "W019": "doc.spans[{key!r}] says {names} of its spans in some docs, but not in all: that is left out of the joined "
    "doc.",
    "W020": "The pattern of the validator of {label!r} took more than {seconds} s in one text; {n} spans that it could "
    "not check are left out. Make it simpler: {pattern!r}",
    "W022": "The type {label!r} was not among the pipeline's when Presidio's engine was loaded. It is {name!r} there, "
    "which Presidio's recognizers may not know: name types before, in `labels`.",
    "W012": "{name!r} has no labels, and the doc names none: there is nothing to choose from, so the next components "
    "look for their own. Set `labels`, or doc._.openner_labels.",
    "W008": "{n} texts of {path!r} have more than {most} words (`max_words`) and are left out.",
    "W007": "Training met {n} gold spans whose boundaries are none of the words'; their words are left out of the "
    "loss. Check the tokenisation of the corpus.",
    "W021": "Training met {n} gold spans that cross a boundary of their text, such as a blank line or the end of a "
    "list's item; they are neither taught nor found. If they are right, set `boundaries` to fewer kinds, or to [].",
    "W009": "The vectors that `tok2vec` gives are all zero: the component that it listens to is disabled, missing, or "
    "behind this one in the pipeline. What is found means nothing then.",
    "W010": "The tokenizer ({kind}) does not read the chunks of an answer independently of one another. Decoding takes "
    "the reference path, one subword at a time, which is many times slower.",
    "W011": "{n} words take more than {budget} subwords, an eighth of what the model reads at once. It is shown their "
    "beginnings only; what it says of them counts for the whole words.",
    "W122": "The checkpoint {path!r} was trained with words of the splitter {splitter!r}. It sees the doc's tokens "
    "here (words = 'spacy'), or the words of the plain splitter (words = 'gliner'): {install}take a language of "
    "spaCy's whose tokenizer splits alike, such as spacy.blank('ja'), and leave words = 'spacy'.",
    "W123": "The checkpoint {path!r} was trained with words of the splitter {splitter!r}, and words = 'spacy' shows it "
    "the doc's tokens. Set words = 'gliner', which takes that splitter, unless the tokens are alike.",
    "W121": "The checkpoint {path!r} has {tasks} beside entities. Entities are read here; {tasks} are left out.",
    "W120": "The checkpoint {path!r} asks for an adaptive threshold, which adds spans below the threshold until there "
    "are as many as it expects. That is left out here: lower `threshold` if spans are missing.",
    "W124": "The chat template of the generator's tokenizer cannot be used: {reason!s}. Prompts are written as "
    '{used!r}. Set `causal` of the prompt to the text around "{{prompt}}" that the model was trained with.',
    "W501": "Answers of the language model cannot be kept in {path!r} ({reason}). Those of now are kept in memory, "
    "until the program ends. Free some space, or choose another `cache_dir`.",
    "W502": "The budget of the language model is spent ({requests} requests, {tokens} tokens): no more are sent. Raise "
    "`max_requests` or `max_tokens`; what was answered is in the cache, if there is a `cache_dir`.",
    "W503": "The language model {model!r} is not asked any further in this batch: {reason}",
    "W520": "The language model {model!r} gave no answer to a request ({kind}): {message} (This is said once for each "
    "kind of failure.)",
    "W521": "The server of {model!r} does not take a JSON schema as it is meant to ({reason}); from now on it is asked "
    "with: {form}. Answers may be less regular.",
    "W504": "{name!r} has neither an alignment table nor labels: all entities keep their types. Set `table` or "
    "`labels`, or let initialize() align them with annotated docs.",
    "W506": "{name!r} finds no entities in its source, {source!r}, but there are spans in groups: {groups}. Set "
    "`source` to one of these, or let the component before write doc.ents; what another component put into {key!r} is "
    "replaced.",
    "W505": "The alignment of these target types hangs on fewer than {enough} entities that the source model found: "
    "{few}. Look at the table, or give more annotated docs.",
    "W401": "The list of types lacks {labels}, which the data has; they are added. If they are misspelt, map them "
    "with --labels (`labels=`).",
    "W421": "No threshold gives {name!r} a precision of {wanted}: {reached:.3f} is reached, with {n} spans predicted. "
    "That threshold is chosen (the present one where nothing is ever right). More annotated texts, or another name for "
    "the type, may help.",
    "W422": "{name!r} keeps {reached:.3f} of the present types, not {wanted}: `top_k` is in the way, or types in too "
    "few docs, which keep their thresholds.",
    "W431": "{name} finds no entities in {where}, but there are spans in other groups: {groups}. Set `spans_key`, or "
    "copy them.",
    "W432": "{name}: {n} gold entities share tokens with others, such as {text!r} ({label!r}), and with `overlap` "
    "{overlap!r} only one of such entities can be found. Set `overlap` to 'nested' or 'all', or leave the others out "
    "of the gold.",
    "W433": "{name!r} has nothing to be scored by: none of {n} docs has an entity in {where}. Check the corpus, such "
    "as `dev_corpus` in the [training] section.",
    "W434": "{name!r} is not asked for the gold labels {labels}, which count as missed. It is asked for {known}. Use "
    "the same names in both.",
}

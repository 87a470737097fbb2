"""Every error and warning of the package: a code, the value that was wrong, and what to do.

Exception tree::

    OpenNERError(ValueError)
    ├── SettingError      a setting or an argument has a value that is not allowed
    ├── CheckpointError   a checkpoint cannot be found, read, or is of an unsupported kind
    ├── TextError         a text cannot be processed as asked
    ├── DataError         a data file cannot be read or written as asked
    ├── MissingExtra      an optional dependency is not installed
    └── InstallationError packages are installed that do not work together
"""

import warnings
from typing import Any


class OpenNERError(ValueError):
    """Base of all errors that this package raises on purpose."""


class SettingError(OpenNERError):
    """A setting or an argument has a value that is not allowed."""


class CheckpointError(OpenNERError):
    """A checkpoint cannot be found, read, or is of an unsupported kind."""


class TextError(OpenNERError):
    """A text cannot be processed as asked."""


class DataError(OpenNERError):
    """A data file cannot be read or written as asked."""


class MissingExtra(OpenNERError):
    """An optional dependency is not installed."""


class InstallationError(OpenNERError):
    """Packages are installed that do not work together."""


class OpenNERWarning(UserWarning):
    """Something works, but perhaps not as meant."""


_MESSAGES: dict[str, tuple[type[Exception], str]] = {
    # Settings
    "O001": (SettingError, "`{name}` is {value!r}; allowed: {allowed}."),
    "O002": (
        SettingError,
        "`labels` must be a list of names or a mapping from name to description, not {kind} ({value!r}). "
        'For one type write ["person"].',
    ),
    "O003": (SettingError, "A label must be a string of text that is not blank, not {value!r}. Remove or name it."),
    "O004": (SettingError, "The description of label {label!r} must be text that is not blank, not {value!r}."),
    "O005": (
        SettingError,
        "`{name}` has a value for {label!r} that is {value!r}; allowed: a number from {least} to {most}.",
    ),
    "O006": (
        SettingError,
        "The label {label!r} takes {size} subwords in the prompt; the model has a budget of {budget}. "
        "Shorten its name or description.",
    ),
    "O007": (
        SettingError,
        "precision {value!r} is for GPUs only, and the model is on the CPU. "
        "Use 'auto', 'float32' or 'bfloat16', or call spacy.require_gpu() first.",
    ),
    "O009": (
        SettingError,
        "spaCy's config files cannot hold {key!r} in `{name}`. Set it on the component instead, which to_disk() then "
        "saves beside the weights: nlp.get_pipe(...).{name} = ...",
    ),
    "O010": (SettingError, "There is no .spacy file at {path!r}. Check the path, or make one: spacy-openner convert."),
    "O012": (
        SettingError,
        "`{name}` at initialize is for models with a checkpoint (spacy-openner.SpanMatcher.v1), not for "
        "spacy-openner.BiEncoderSpanMatcher.v1, which takes `tok2vec`, `label_encoder`, `width` and `max_width` among "
        "its own settings, in [components.NAME.model]. Leave it out.",
    ),
    "O013": (
        SettingError,
        "The tags {a!r} and {b!r} read the same to this model, or one begins the other: their labels differ in case, "
        "spaces or brackets only. Rename one of the labels.",
    ),
    "O014": (
        SettingError,
        "`decoding` is 'constrained', which needs answers that tag every word (the prompt's target is {target!r}, "
        "allowed: 'bio'). Set `decoding` to 'free'.",
    ),
    "O015": (
        SettingError,
        "`type_recognition_ratio` is {value!r}: it needs the loss 'answer' and a prompt that can ask for the types "
        "of a text, such as 'spacy-openner.ToNERPrompt.v1'. Set these, or `type_recognition_ratio` to 0.",
    ),
    "O016": (
        SettingError,
        "`loss` is 'choices', which teaches tags of words, but the prompt's answers are of another kind ({target!r}). "
        "Set `loss` to 'answer'.",
    ),
    "O017": (
        SettingError,
        "{name!r} has no labels, and its `type_classification_weight` trains a classifier of these. Set `labels`, or "
        "`type_classification_weight` to 0.",
    ),
    "O018": (
        SettingError,
        "`attention_weight` teaches a decoder where to attend in what an encoder reads, and this model has no encoder, "
        "or one of an unknown kind. Set `attention_weight` to 0.",
    ),
    "O019": (
        SettingError,
        "The loss of {name!r} is {loss}: the weights are of no use any more. Lower the learning rate, and start from "
        "the last weights that were saved; if it is so at the first update, the weights that were loaded are damaged.",
    ),
    "O020": (
        SettingError,
        "The corpora have no texts ({paths}): all weights and limits are 0, or the files are empty, or `max_words` "
        "leaves all texts out.",
    ),
    "O021": (
        CheckpointError,
        "Cannot read the component's settings in {where}: {reason}. The file is damaged, or another version wrote it: "
        "save the pipeline again.",
    ),
    "O022": (
        SettingError,
        "A setting that is a mapping ({value!r}) cannot be changed in place. Assign a new one: "
        "pipe.label_thresholds = {{**pipe.label_thresholds, ...}}",
    ),
    "O023": (
        SettingError,
        "The validator of {label!r} is {value!r}: {reason}. Allowed: a mapping with `pattern`, a regular expression "
        '(and `mode`, "full" or "partial"; `exclude`, true or false), with `choices`, a list of texts, or with '
        "`function`, a name in spaCy's registry `misc`.",
    ),
    "O024": (
        SettingError,
        "The validator of {label!r} names the function {function!r}, which is not registered. Register a function that "
        "takes a Span and returns True or False, @spacy.registry.misc({function!r}), before the pipeline is made or "
        "loaded; for spaCy's commands, in the file that --code names.",
    ),
    "O025": (
        SettingError,
        "`span._.{attribute}` is computed by another package, and cannot be written. Copy scores to another "
        "`attribute`, or read span._.openner_score.",
    ),
    # Checkpoints
    "O101": (
        CheckpointError,
        "No checkpoint at {path!r}: it is neither a directory with a gliner_config.json (GLiNER) or an extractor's "
        "config.json (GLiNER2), nor the name of a repository that could be loaded ({reason}). Check the path; offline, "
        "give a local directory.",
    ),
    "O102": (
        CheckpointError,
        "{path!r} is a pickled v0 checkpoint, and pickles can run code. Convert it once where you trust it: "
        "load it with the `gliner` package (0.2) and call save_pretrained(DIR, safe_serialization=True).",
    ),
    "O103": (
        CheckpointError,
        "{path!r} is a checkpoint of an unsupported kind: {reason}. "
        "Read are uni-encoders and bi-encoders with spans (markerV0, markerV1, marker) or tokens, and the entities of "
        "checkpoints that generate names of types or find relations too. Use the `gliner` package, which wrote it.",
    ),
    "O104": (
        CheckpointError,
        "The weights in {path!r} do not fit the architecture: missing {missing}; unknown {unknown}.",
    ),
    "O105": (
        CheckpointError,
        "Cannot read {path!r}: {reason}. The file is damaged or incomplete; get it again.",
    ),
    "O106": (
        CheckpointError,
        "Cannot tell the marker ids of {path!r}: the tokenizer knows {known} tokens without {marker!r}, and the "
        "embedding has {rows} rows (2 or 3 more were expected). Put the original tokenizer files beside it.",
    ),
    "O107": (
        CheckpointError,
        "The tokenizer of {path!r} is not a fast one ({kind}), and only fast ones report word positions. "
        "Save it with a tokenizer.json.",
    ),
    "O108": (
        CheckpointError,
        "The default weights are not in this installation (looked in {places}). Reinstall the package, or name "
        'a checkpoint: config={{"model": {{"name": "DIRECTORY_OR_HUB_NAME"}}}}.',
    ),
    "O109": (
        CheckpointError,
        "The weights are larger than 4 GB, and msgpack holds no such object. Use to_disk() instead of to_bytes().",
    ),
    "O110": (
        CheckpointError,
        "Cannot load the encoder of types {path!r}: {reason}. `label_encoder` takes a directory or hub name of a "
        'Hugging Face encoder, or "" for that of the default weights.',
    ),
    "O111": (
        CheckpointError,
        "This model has no weights yet. Call nlp.initialize() and train it, or load a saved pipeline.",
    ),
    "O112": (
        CheckpointError,
        "The width of the vectors of `tok2vec` is not known ({reason}). If it listens to another component, that one "
        "must be in the pipeline, before this one, and be loaded or initialised first: nlp.initialize().",
    ),
    "O113": (
        CheckpointError,
        "Cannot load a generative model from {path!r}: {reason}. It must be a sequence-to-sequence or causal model "
        "that `transformers` loads: a directory with config.json, weights and tokenizer, or a hub name.",
    ),
    "O114": (
        CheckpointError,
        "The generator of the package is not there (looked in {places}). Install the package again, or name one: "
        'config={{"model": {{"name": "DIRECTORY_OR_HUB_NAME"}}}}; or start a new one: `encoder` at initialize.',
    ),
    "O115": (
        CheckpointError,
        "Cannot load a type matcher from {path!r}: {reason}. It must be a directory that a type matcher was saved to, "
        "or a Hugging Face encoder with a fast tokenizer: a directory, or a hub name.",
    ),
    "O116": (
        CheckpointError,
        "The weights of the default type matcher are not in this installation (looked in {places}). Reinstall the "
        'package, or name an encoder: config={{"model": {{"name": "DIRECTORY_OR_HUB_NAME"}}}}.',
    ),
    "O117": (
        CheckpointError,
        "These bytes are not what to_bytes() returned: {reason}. Nothing was loaded.",
    ),
    "O131": (
        CheckpointError,
        "Cannot load a type-cache model from {path!r}: {reason}. It must be a directory that such a model was saved "
        "to, or the name of a repository of its files.",
    ),
    "O132": (
        SettingError,
        "The model TypeCacheSpanMatcher has no weights of its own in this installation (looked in {places}). Name a "
        'directory of weights: config={{"model": {{"name": "DIRECTORY"}}}}, or let [initialize] make a new network '
        "of an encoder.",
    ),
    "O120": (
        CheckpointError,
        "Cannot load the tokenizer of {path!r} (from {source!r}): {reason}. Put the tokenizer.json and the "
        "tokenizer_config.json that it was trained with beside the weights.",
    ),
    "O121": (
        CheckpointError,
        "{path!r} is a checkpoint of the `gliner2` package ({classes}) with {found}, which is not read here. Read are "
        "architecture 'span' with any counting layer and architecture 'boundary' with candidate_pool 'shared', both "
        "with token_pooling 'first'. Use `gliner2` itself for this one.",
    ),
    "O122": (
        SettingError,
        "GLiNER2.5 checkpoints (architecture 'boundary') are read here, not trained. Fine-tune this one with the "
        "`gliner2` package, whose files are read as they are; or fine-tune a checkpoint of architecture 'span'.",
    ),
    "O123": (
        CheckpointError,
        "{path!r} is a checkpoint of the `{writer}` package that lacks {missing}. Get it again, whole.",
    ),
    "O118": (
        CheckpointError,
        "{path!r} lacks {what}, and it could not be loaded by the name {name!r} ({reason}). Put the original files "
        "beside the weights, or load the checkpoint once with access to the hub.",
    ),
    "O119": (
        CheckpointError,
        "The tokenizer in {path!r} does not fit the weights: it knows {known} tokens with ids up to {highest}, and the "
        "embedding has {rows} rows. Put the original tokenizer files beside the weights.",
    ),
    "O124": (
        CheckpointError,
        "Cannot load the encoder {name!r} that is to get a new head: {reason}. `encoder` takes a directory or hub name "
        "of a Hugging Face encoder with a fast tokenizer.",
    ),
    "O125": (
        CheckpointError,
        "The adapters in {path!r} cannot be used here: {reason}. Give a directory that `save_adapters` wrote for a "
        "model of this kind and size.",
    ),
    # Texts
    "O201": (
        TextError,
        "The span {text!r} takes {size} subwords; the model reads at most {budget} at once. Score shorter spans.",
    ),
    "O202": (TextError, "A span of another doc was given ({text!r}): all spans must belong to the doc."),
    "O204": (
        TextError,
        "doc.spans[{key!r}] does not fit the doc, which has {n} tokens: some were merged or split since then. "
        "Use the component merge_openner_entities in place of merge_entities, or put it behind what merges: it moves "
        "span groups to the new tokens.",
    ),
    "O205": (
        TextError,
        "The validator {function!r} of {label!r} fails at {text!r}: {reason}. It must take a Span and return True or "
        "False.",
    ),
    "O203": (TextError, "{what} is not UTF-8 ({reason}). Convert it."),
    # Calibration
    "O421": (
        SettingError,
        "The annotated docs have no entity of a type that {name!r} is asked for (asked for: {asked}; annotated: "
        "{gold}). Set the component's `labels` to names of annotated types, or list them in a file NAME.labels.json "
        "beside NAME.spacy.",
    ),
    "O422": (SettingError, "There are no annotated docs to calibrate by: give at least one."),
    "O423": (
        SettingError,
        "The pipeline has no component {name!r} that finds entities. It has: {present}; of these, find "
        "entities: {fit}. Name one of them.",
    ),
    "O424": (SettingError, "The wanted precision is {value!r}; allowed: a number over 0, up to 1."),
    "O425": (
        SettingError,
        "{name!r} joins neighbouring words once they have passed the threshold, so that other thresholds give other "
        "spans, which one prediction does not show. Set its `threshold` by hand.",
    ),
    "O426": (
        SettingError,
        "Cannot load the pipeline {path!r}: {reason}. Give the directory of a saved pipeline, or the name of an "
        "installed package.",
    ),
    "O427": (
        SettingError,
        "The pipeline has no component {name!r} that chooses types (factory type_filter). It has: {present}; of these, "
        "choose types: {fit}. Name one of them.",
    ),
    "O428": (SettingError, "The wanted recall is {value!r}; allowed: a number over 0, up to 1."),
    "O429": (
        SettingError,
        "The pipeline has no component {name!r} that reassigns types (factory lar_reassigner). It has: {present}; "
        "of these, reassign types: {fit}. Name one of them.",
    ),
    # Label alignment and reassignment
    "O501": (
        DataError,
        "{where} is no alignment table: expected {expected}, found {found}. Correct it, or make it anew: "
        "spacy-openner align.",
    ),
    "O502": (
        SettingError,
        "The alignment table has {side} types that are not known: {unknown}. Known are: {known}. Correct the table, or "
        "add them to {where}.",
    ),
    "O503": (
        SettingError,
        "{label!r} cannot be a target type of an alignment table: it is the answer of those that are none of them. "
        "Rename the type.",
    ),
    "O505": (
        SettingError,
        "{name!r} should share the model of the component {component!r}, but the pipeline has no such component "
        "with {what} (it has: {present}). Add it, or give the reassigner a `model` of its "
        "own.",
    ),
    "O506": (
        SettingError,
        "{name!r} has no gate to choose: its `reassigner` must be a spacy-openner.GatedReassigner.v1, with a "
        "`first` that scores and a `second` that is asked where the gate says so.",
    ),
    "O508": (
        SettingError,
        "There is nothing to align by: {reason}. Give docs with gold entities, or an alignment by names: "
        "spacy-openner.EmbeddingAlignment.v1.",
    ),
    "O509": (
        SettingError,
        "There is no alignment to choose from: {side} types are not known. {hint}",
    ),
    "O510": (
        SettingError,
        "doc.spans[{key!r}] holds no decisions of a lar_reassigner (the doc has: {keys}). Give its `spans_key`, and a "
        "doc that it has processed.",
    ),
    "O512": (
        SettingError,
        "{name!r} cannot save {what} whose component has left the pipeline: it reads the vectors of a shared layer. "
        "Save it together with that component, or give the reassigner a `model` of its own.",
    ),
    "O513": (
        SettingError,
        "{name!r} was saved with the model of the component {component!r} ({what}), which this pipeline lacks. Load "
        "that component, too (`disable` it instead of `exclude`), or give the reassigner a `model` of its own.",
    ),
    # Language models over the network
    "O511": (
        DataError,
        "The language model {model!r} answered for no text: {reasons}. Check that its server runs and knows the model, "
        "then run the command again; what was answered is kept.",
    ),
    "O504": (
        SettingError,
        "There is no key in the environment variable {name!r}. Set it, or name another one (`api_key_env`), or the "
        "address of a server that needs none (`base_url`).",
    ),
    "O520": (
        SettingError,
        "`api_key_env` is no name of an environment variable (it is not repeated here: it may be a key). Put the key "
        "into a variable, such as OPENAI_API_KEY, and give its name.",
    ),
    "O521": (
        SettingError,
        "The key in the environment variable {name!r} has characters that no key has: blanks, control characters or "
        "letters beyond ASCII. Set it anew.",
    ),
    "O507": (
        SettingError,
        "`{name}` may hold a secret, and settings are saved in config files. Put the key into the environment variable "
        "that `api_key_env` names, and the plain address of the server into `base_url`.",
    ),
    # Extras
    "O301": (MissingExtra, "{what} needs the package {package!r}: pip install 'spacy-openner[{extra}]'."),
    "O302": (
        InstallationError,
        "spaCy cannot start: it imports spacy-transformers {plugin}, which does not work with transformers "
        "{transformers}. Remove it (pip uninstall spacy-transformers), or install an older transformers beside it: "
        "pip install 'spacy-openner[trf]'.",
    ),
    "O303": (
        InstallationError,
        "spaCy cannot start: a plug-in that is installed fails to be imported ({reason}; module {module!r}). Install "
        "what it needs, or remove it.",
    ),
    # Bulk annotation
    "O601": (DataError, "Cannot tell the format of {path!r} by its name; allowed endings: {allowed} (and .gz)."),
    "O602": (DataError, "Cannot read {path!r}: {reason}. Mend the file, and run again: the rest is kept."),
    "O603": (DataError, "{path!r} has no field {field!r}; it has: {fields}. Name the one that holds the text."),
    "O604": (MissingExtra, "This needs {package}: pip install 'spacy-openner[{extra}]'."),
    "O605": (DataError, "There are no files to annotate at {source!r}; known endings: {allowed}. Check the path."),
    "O606": (
        DataError,
        "{dest!r} holds files that no run has written. Name a new or an empty directory for the output.",
    ),
    "O607": (DataError, "Another run is writing to {dest!r}. Wait for it to end, or name another directory."),
    "O608": (
        DataError,
        "{dest!r} was begun with other settings ({changed}), and its output would not be of one kind. "
        "Name another directory, or go on with the settings of then.",
    ),
    "O609": (SettingError, "There is no pipeline {pipeline!r}: no such directory, and no such package is installed."),
    "O610": (
        DataError,
        "The run cannot go on: {reason}. {finished} of {units} units are finished and kept. Mend this, and make the "
        "same call again.",
    ),
    # Service
    "O651": (
        SettingError,
        "The environment variable {variable} must hold a key of at least 8 printable ASCII characters. "
        "Set another one, or unset it to ask clients for none.",
    ),
    "O652": (
        SettingError,
        "The pipeline has no component that finds entities of named types (it has: {pipes}). Add one: "
        "nlp.add_pipe('open_ner_span').",
    ),
    # Data
    "O401": (
        DataError,
        "{where}: expected {expected}, found {found}. Correct it; if the file is not in the format {kind!r}, say "
        "in which it is: --format (`format=`).",
    ),
    "O402": (
        DataError,
        "Cannot tell the format of {path!r}: {reason}. Name it with --format (`format=`): {formats}.",
    ),
    "O403": (DataError, "Cannot read {path!r}: {reason}. Check the path and the file."),
    "O404": (DataError, "{path!r} should hold {expected}; found {found}. Correct it."),
    "O405": (DataError, "No doc in {path!r} has the span group {key!r}; there are: {keys}. Choose one of these."),
    "O406": (DataError, "No annotated text was found in {path!r} (format {kind!r}; skipped: {skipped}). Check it."),
    "O407": (DataError, "Cannot write {path!r}: {reason}. Choose another target."),
    "O410": (
        DataError,
        "{where}: the first column numbers the words ({words}, ...). Name the column that holds them: --word-column 1 "
        "(`word_column=1`); or 0 if these are the words.",
    ),
    "O411": (
        DataError,
        "{path!r} has tags of entities in several columns: {columns}. Name those to be read, as nested layers: "
        "{options} (`tag_column={values}`), or one of them.",
    ),
    "O412": (
        DataError,
        "{where}: the task has several strings, or none: {keys}. Name the one that holds the text: --text-key "
        "(`text_key=`).",
    ),
    "O413": (
        DataError,
        "{path!r} has numbers for tags in {key!r}, and there are no names for them beside it ({files}). Name a file "
        'that has them: --tag-names (`tag_names=`), such as ["O", "B-PER", "I-PER"].',
    ),
    "O414": (
        DataError,
        "{where}: cannot tell which layer holds the entities; there are: {layers}. Name it: --layer (`layer=`).",
    ),
    "O409": (SettingError, "{path!r} would be overwritten, and it is read too. Choose another target."),
    "O408": (SettingError, "`{name}` does not go with the format {kind!r}, which takes: {options}. Leave it out."),
}

_WARNINGS: dict[str, str] = {
    "W001": "{name!r} has no labels, and the doc names none: nothing is looked for. "
    "Set `labels`, or doc._.openner_labels.",
    "W002": "{repo!r} is loaded without a revision: what the hub serves may change. Pin one with `revision`.",
    "W003": "The word {word!r}... takes {size} subwords; only its first {budget} fit the model and were read.",
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
    "here (words = 'spacy'), or the words of the plain splitter (words = 'gliner'): take a language of spaCy's whose "
    "tokenizer splits alike, such as spacy.blank('ja'), and leave words = 'spacy'.",
    "W121": "The checkpoint {path!r} has {tasks} beside entities. Entities are read here; {tasks} are left out.",
    "W120": "The checkpoint {path!r} asks for an adaptive threshold, which adds spans below the threshold until there "
    "are as many as it expects. That is left out here: lower `threshold` if spans are missing.",
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
}


def error(code: str, **values: Any) -> Exception:
    """Build the error of a code.

    code (str): A key of the error table, such as "O001".
    **values (Any): What the message's fields stand for.
    RETURNS (Exception): To be raised by the caller.
    """
    kind, message = _MESSAGES[code]
    return kind(f"[{code}] {message.format(**values)}")


def warn(code: str, **values: Any) -> None:
    """Issue the warning of a code.

    code (str): A key of the warning table, such as "W001".
    **values (Any): What the message's fields stand for.
    """
    warnings.warn(f"[{code}] {_WARNINGS[code].format(**values)}", OpenNERWarning, stacklevel=3)

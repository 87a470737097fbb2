"""Messages of errors in checkpoints, and in texts that models read, by code."""

from .exceptions import CheckpointError, SettingError, TextError

MODEL_MESSAGES: dict[str, tuple[type[Exception], str]] = {
    # Checkpoints
    "O101": (
        CheckpointError,
        "No checkpoint at {path!r}: it is neither a directory with a gliner_config.json (GLiNER) or an extractor's "
        "config.json (GLiNER2), nor the name of a repository that could be loaded ({reason}). Check the path; offline, "
        "give a local directory. Directories with a type_cache.json need their own architecture beside `name`: "
        '{{"@architectures": "spacy-openner.TypeCacheSpanMatcher.v1", "name": ...}}.',
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
        "The weights of SpanMatcher are not in this installation (looked in {places}). Reinstall the package, or name "
        'a checkpoint: config={{"model": {{"@architectures": "spacy-openner.SpanMatcher.v1", "name": '
        '"DIRECTORY_OR_HUB_NAME"}}}}.',
    ),
    "O109": (
        CheckpointError,
        "The weights are larger than 4 GB, and msgpack holds no such object. Use to_disk() instead of to_bytes().",
    ),
    "O110": (
        CheckpointError,
        "Cannot load the encoder of types {path!r}: {reason}. `label_encoder` takes a directory or hub name of a "
        'Hugging Face encoder, or "" for that of the package\'s SpanMatcher.',
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
    "O127": (
        CheckpointError,
        "The pipeline {path!r} was saved before the first release, with settings that have other names now: {renamed}. "
        "The old format is not read. Build it anew with these names, and train it anew where it was trained.",
    ),
    "O131": (
        CheckpointError,
        "Cannot load a type-cache model from {path!r}: {reason}. It must be a directory that such a model was saved "
        "to, or the name of a repository of its files. Checkpoints of the GLiNER family need their own architecture "
        'beside `name`: {{"@architectures": "spacy-openner.SpanMatcher.v1", "name": ...}}.',
    ),
    "O132": (
        SettingError,
        "The default weights are not in this installation (looked in {places}). Reinstall the package, name a "
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
    "O126": (
        SettingError,
        "The checkpoint {path!r} has vectors of a fixed set of types (precomputed_prompts), and {unknown} are not "
        "among them. Its types: {known}. Use these names, or a checkpoint that reads types in prompts.",
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
    "O206": (
        TextError,
        "More than {most} spans are over their thresholds. Raise these, or send fewer types or texts at once.",
    ),
    "O203": (TextError, "{what} is not UTF-8 ({reason}). Convert it."),
}

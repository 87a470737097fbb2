"""Messages of errors in settings and arguments, by code."""

from .exceptions import CheckpointError, SettingError

SETTING_MESSAGES: dict[str, tuple[type[Exception], str]] = {
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
        "`{name}` at initialize is for models with a checkpoint (spacy-openner.TypeCacheSpanMatcher.v1, "
        "spacy-openner.SpanMatcher.v1), not for spacy-openner.BiEncoderSpanMatcher.v1, which takes `tok2vec`, "
        "`label_encoder`, `width` and `max_width` among its own settings, in [components.NAME.model]. Leave it out.",
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
}

"""Messages of errors in what is done with models (calibration, alignment, language models, corpora), by code."""

from .exceptions import DataError, InstallationError, MissingExtra, SettingError

TASK_MESSAGES: dict[str, tuple[type[Exception], str]] = {
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
    "O522": (
        SettingError,
        "No connection to {url} can be set up: {reason}. Correct `base_url`, or the environment variables that name "
        "proxies (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) and certificates (SSL_CERT_FILE).",
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
        "{dest!r} holds files, or links, that no run has written. Name a new or an empty directory for the output.",
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
    "O611": (
        DataError,
        "Cannot find out what files there are at {source!r}: {reason}. Check the path; each kind of URL needs a "
        "package of its own for `fsspec`.",
    ),
    "O612": (
        DataError,
        "Ray cannot be used: {reason}. What is finished is kept. Check the cluster, and its address where {variable} "
        "is set. On a busy machine, let Ray wait longer for its own processes: RAY_raylet_start_wait_time_s=300.",
    ),
    # Service
    "O651": (
        SettingError,
        "{name} must hold a key of at least {shortest} printable ASCII characters. Set another one, or none at all to "
        "ask clients for none.",
    ),
    "O652": (
        SettingError,
        "The pipeline has no component that finds entities of named types (it has: {pipes}). Add one: "
        "nlp.add_pipe('open_ner_span').",
    ),
    "O653": (
        SettingError,
        "`label_thresholds` names {labels}, which are not among the types that are looked for: {known}. Correct the "
        "names, or leave them out.",
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
        "{where}: the first column numbers the words, or says where they stand ({words}, ...). Name the column that "
        "holds them: --word-column {column} (`word_column={column}`); or 0 if these are the words.",
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
    "O415": (SettingError, "{path!r} is named for two outputs. Choose another file for one of them."),
    "O408": (SettingError, "`{name}` does not go with the format {kind!r}, which takes: {options}. Leave it out."),
}

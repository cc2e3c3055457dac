"""Who a model says it is, and whether what it is set to can be written down."""

from __future__ import annotations

import json
import pickle

from pydantic import TypeAdapter, ValidationError

from codonbench.contracts import Model, ModelConfig, ModelInfo, Name, Reference
from codonbench.data.encodings import canonical
from codonbench.errors import ConfigError
from codonbench.testing.checklist import last_line
from codonbench.testing.findings import Verdict, failed, passed, warning
from codonbench.testing.subject import Subject


def has_valid_names(cls: type[Model] | type[Reference]) -> Verdict:
    """Hold that name, version and presets are what records and tables can carry."""
    info = cls.info
    if not isinstance(info, ModelInfo):
        return failed(f"info is {type(info).__name__}; expected a ModelInfo")
    try:
        ModelInfo.model_validate(info.model_dump())
        for preset in cls.presets:
            TypeAdapter(Name).validate_python(preset)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"])) or "a preset's name"
        return failed(
            f"{where} is {detail['input']!r}: {detail['msg']}; names are of small letters, "
            "digits, '.', '_' and '-', versions such as 1 or 1.2.0"
        )
    for preset, values in cls.presets.items():
        try:
            cls.Config.model_validate(dict(values))
        except ValidationError as error:
            detail = error.errors()[0]
            field = ".".join(map(str, detail["loc"]))
            return failed(
                f"preset {preset!r}: {field} is {detail['input']!r}, but Config says: "
                f"{detail['msg']}; change the preset or the field's bounds"
            )
    if not info.summary.strip():
        return warning("its summary is empty; write one line for 'bench ls models'")
    return passed(f"{info.name}, version {info.version}")


def survives_json(config: ModelConfig) -> Verdict:
    """Hold that a configuration read back from a record is the one that was written."""
    if not isinstance(config, ModelConfig):
        return failed(f"Config is {type(config).__name__}; expected a subclass of ModelConfig")
    written = json.dumps(config.model_dump(mode="json"), allow_nan=False)
    read = type(config).model_validate(json.loads(written))
    for field in type(config).model_fields:
        before, after = getattr(config, field), getattr(read, field)
        if before != after or type(before) is not type(after):
            return failed(
                f"field {field!r} is {before!r}, and {after!r} once written to JSON and read "
                "back; give it a type that JSON can carry, such as int, float, str or a tuple, and "
                "a default of that type"
            )
    return passed()


def is_offered(subject: Subject) -> Verdict:
    """Hold that the task offers each encoding that the model may ask for."""
    try:
        asked = [canonical(encoding, subject.view) for encoding in subject.variants()]
    except ConfigError as error:
        return failed(f"{error}; let encoding be one of those")
    return passed(" or ".join(asked))


def class_pickles(cls: type) -> Verdict:
    """Hold that the class is found again in another process."""
    try:
        found = pickle.loads(pickle.dumps(cls))
    except Exception as error:
        return warning(
            f"the class cannot be sent to another process: {last_line(error)}; define it at the "
            "top of its module, under its own name"
        )
    if found is not cls:
        return warning(
            f"{cls.__module__}.{cls.__qualname__} is another class than the one registered; "
            "give the two different names"
        )
    return passed()

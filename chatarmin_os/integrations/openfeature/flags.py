"""Keys of flags, and the features that they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from openfeature.exception import FlagNotFoundError

from chatarmin_os._input import at_field, name_fields_in_errors, optional_text, text
from chatarmin_os._json import describe
from chatarmin_os.errors import InvalidInput

SEPARATOR = ":"


@frozen(field_transformer=name_fields_in_errors)
class Flag:
    """What the key of a flag means: a feature, or one setting of it.

    Args:
        feature_code: The feature.
        setting: The name of one of its settings (`config_values` of the access); None: the feature itself.

    Raises:
        InvalidInput: Blank text, or no text.

    Example:
        >>> from chatarmin_os.integrations.openfeature import Flag
        >>> Flag("exports", setting="max_rows")
        Flag(feature_code='exports', setting='max_rows')
    """

    feature_code: str = field(converter=text)
    setting: str | None = field(default=None, converter=optional_text)


def flag_of(key: str) -> Flag:
    """Return the flag of a key without an entry of its own: `feature` or `feature:setting`.

    The service does not say which characters a code may have. A code with a colon needs an entry in `flags`; without
    one its flag is not found, and nothing is granted.

    Raises:
        FlagNotFoundError: A part is blank.

    Example:
        >>> flag_of("exports:max_rows"), flag_of("exports:a:b").setting
        (Flag(feature_code='exports', setting='max_rows'), 'a:b')
    """
    try:
        code, colon, setting = text(key).partition(SEPARATOR)
        return Flag(code, setting=text(setting) if colon else None)
    except InvalidInput as error:
        raise FlagNotFoundError(f"expected `feature` or `feature:setting`: {error.problem}") from None


def mapping_of_flags(value: Mapping[str, Flag] | None) -> dict[str, Flag]:
    """Return a copy of the flags that have entries of their own.

    Raises:
        InvalidInput: Not a mapping, a blank key, or a value that is not a flag; the key is named.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput(f"expected a mapping of keys to Flag, got {describe(value)}").at("flags")
    return {at_field("flags", text)(key): at_field(f"flags.{key}", _flag)(flag) for key, flag in value.items()}


def _flag(value: Any) -> Flag:
    if not isinstance(value, Flag):
        raise InvalidInput(f"expected a Flag, got {describe(value)}", "write Flag('feature_code')")
    return value

"""Frozen dataclasses to and from JSON with camelCase names.

Fields unknown to this version are ignored and fields with a default may be missing, because agents
and operators of neighbouring versions talk to each other.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")


class BadJson(ValueError):
    """The JSON does not have the form of the dataclass; says which field and why."""


def to_json(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {_camel(f.name): to_json(getattr(value, f.name)) for f in fields}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    return value


def from_json(kind: type[T], body: object, where: str = "") -> T:
    """Raise BadJson, naming the field, for anything that is not a `kind`."""
    if not isinstance(body, Mapping):
        raise BadJson(f"{where or kind.__name__}: expected an object, found {_named(body)}")
    values: dict[str, Any] = {}
    for field, annotation in _fields(typing.cast(Any, kind)):
        name = _camel(field.name)
        if name in body:
            values[field.name] = _value(annotation, body[name], f"{where}{name}")
        elif _is_required(field):
            raise BadJson(f"{where}{name}: missing")
    return kind(**values)


@functools.cache
def _fields(kind: Any) -> tuple[tuple[dataclasses.Field[Any], Any], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((field, hints[field.name]) for field in dataclasses.fields(kind))


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _value(annotation: Any, found: object, where: str) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):  # always `X | None` here
        inner = next(a for a in arguments if a is not types.NoneType)
        return None if found is None else _value(inner, found, where)
    if origin is tuple:
        if not isinstance(found, (list, tuple)):
            raise BadJson(f"{where}: expected a list, found {_named(found)}")
        return tuple(_value(arguments[0], item, f"{where}[{i}].") for i, item in enumerate(found))
    if dataclasses.is_dataclass(annotation):
        return from_json(typing.cast(type[Any], annotation), found, f"{where.rstrip('.')}.")
    if issubclass(annotation, Enum):
        return _member(annotation, found, where)
    return _plain(annotation, found, where.rstrip("."))


def _member(kind: type[Enum], found: object, where: str) -> Enum:
    try:
        return kind(found)
    except ValueError:
        known = ", ".join(str(m.value) for m in kind)
        raise BadJson(f"{where}: expected one of {known}, found {found!r}") from None


def _plain(kind: type[Any], found: object, where: str) -> Any:
    if kind is float and type(found) is int:
        return float(found)
    if type(found) is not kind:  # `type`, because True is an int
        raise BadJson(f"{where}: expected {kind.__name__}, found {_named(found)}")
    return found


def _named(found: object) -> str:
    """The type only: the value may be a password."""
    return "null" if found is None else type(found).__name__


@functools.cache
def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)

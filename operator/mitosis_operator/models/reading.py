"""Typed reading of Kubernetes objects, with the path of the field in every complaint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

from mitosis_operator.models import quantities

E = TypeVar("E", bound=StrEnum)
_REQUIRED: Any = object()


class Unreadable(ValueError):
    """A field is missing or of the wrong type, so the object cannot be read at all."""


@dataclass(frozen=True)
class Reader:
    """A part of an object, with the path that leads to it. A null counts as absent."""

    body: Mapping[str, Any]
    path: str = ""

    def has(self, name: str) -> bool:
        return self.body.get(name) is not None

    def text(self, name: str, default: str = _REQUIRED) -> str:
        value = self._value(name, default)
        if not isinstance(value, str):
            self._complain(name, "a text", value)
        return str(value)

    def integer(self, name: str, default: int = _REQUIRED) -> int:
        value = self._value(name, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self._complain(name, "a whole number", value)
        return int(value)

    def number(self, name: str, default: float = _REQUIRED) -> float:
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self._complain(name, "a number", value)
        return float(value)

    def flag(self, name: str, default: bool = _REQUIRED) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool):
            self._complain(name, "true or false", value)
        return bool(value)

    def choice(self, name: str, kind: type[E], default: E = _REQUIRED) -> E:
        value = self._value(name, default)
        try:
            return kind(value)
        except ValueError:
            self._complain(name, "one of " + ", ".join(kind), value)

    def bytes(self, name: str, default: str = _REQUIRED) -> int:
        return quantities.to_bytes(self._quantity(name, "an amount such as 64Gi", default))

    def millis(self, name: str, default: str = _REQUIRED) -> int:
        return quantities.to_millis(self._quantity(name, "a number such as 500m or 2", default))

    def part(self, name: str) -> "Reader":
        """The object below `name`; an absent one reads as empty."""
        value = self._value(name, {})
        if not isinstance(value, Mapping):
            self._complain(name, "an object", value)
        return Reader(value, self.at(name))

    def parts(self, name: str) -> "tuple[Reader, ...]":
        """The objects of the list below `name`; an absent list reads as empty."""
        values = self._list(name)
        for value in values:
            if not isinstance(value, Mapping):
                self._complain(name, "a list of objects", value)
        return tuple(Reader(v, f"{self.at(name)}[{i}]") for i, v in enumerate(values))

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._list(name)
        for value in values:
            if not isinstance(value, str):
                self._complain(name, "a list of texts", value)
        return tuple(values)

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def _list(self, name: str) -> Sequence[Any]:
        value = self._value(name, ())
        if isinstance(value, str) or not isinstance(value, Sequence):
            self._complain(name, "a list", value)
        return value

    def _quantity(self, name: str, wanted: str, default: str) -> str | int:
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            self._complain(name, wanted, value)
        try:
            quantities.parse(value)
        except quantities.BadQuantity:
            self._complain(name, wanted, value)
        return value

    def _value(self, name: str, default: Any) -> Any:
        value = self.body.get(name)
        if value is not None:
            return value
        if default is _REQUIRED:
            raise Unreadable(f"{self.at(name)} is missing")
        return default

    def _complain(self, name: str, wanted: str, value: object) -> NoReturn:
        raise Unreadable(f"{self.at(name)} is {value!r}: write {wanted}")

"""Decodes JSON values into the frozen dataclasses that controller and agents exchange.

`decode` is the inverse of `protocol.encoded`. It reads the annotations of a class once, makes a
function of them, and keeps it. It knows what the messages are made of: dataclasses, `tuple`,
`list`, `dict` with keys of type `str`, `X | None`, `Literal`, `int`, `float`, `str`, `bool` and
`Any`. No class refers to itself, so that the depth of a value is bounded by its class, and its size
by the caller (`protocol.LINE_LIMIT`).
"""

from __future__ import annotations

import dataclasses
import math
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from .annotations import type_of

_T = TypeVar("_T")
_Decoder = Callable[[Any], Any]

_SHOWN = 60
"""Characters of a wrong value that an error quotes."""
_NONE = type(None)
_UNIONS = (Union, getattr(types, "UnionType", Union))  # the latter since Python 3.10


class DecodeError(ValueError):
    """A value is not what its class says.

    Args:
        what: What is wrong, "must be a whole number, is 'x'".
        path: Where, ".capture.ports[3]"; empty for the whole value.
    """

    def __init__(self, what: str, path: str = "") -> None:
        where = path.lstrip(".")
        super().__init__(f"{where}: {what}" if where else what)
        self.what, self.path = what, path

    def within(self, step: str) -> DecodeError:
        """Returns the same error as seen from the value around it."""
        return DecodeError(self.what, step + self.path)


def decode(cls: type[_T], value: Any, path: str = "") -> _T:
    """Builds an instance of a message class from a JSON value.

    Args:
        cls: A dataclass, or a type made of them, such as `list[Problem]`.
        value: As `json.loads` returns it; tuples are taken for arrays, too.
        path: What errors call the value, "capture".

    Raises:
        DecodeError: A key is unknown or missing, or a value has the wrong type; the message begins
            with the path of the value.
        TypeError: The class has an annotation that no message can have.
    """
    kind: Any = cls
    try:
        decoded: _T = _decoder_of(kind)(value)
    except DecodeError as error:
        raise error.within(path) from None
    return decoded


def decode_arguments(function: Callable[..., Any], values: Any, path: str = "") -> dict[str, Any]:
    """Builds the keyword arguments of a function from a JSON object, by its annotations.

    Args:
        function: A function or method; only its keyword-only parameters are looked at.
        values: As `json.loads` returns them.
        path: What errors call the object.

    Raises:
        DecodeError: As of `decode`.
        TypeError: The same.
    """
    try:
        return _arguments_of(getattr(function, "__func__", function))(values)
    except DecodeError as error:
        raise error.within(path) from None


@lru_cache(None)
def _decoder_of(kind: Any) -> _Decoder:
    origin, inside = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if origin is Literal:
        return _literal(inside)
    if origin in _UNIONS and len(inside) == 2 and _NONE in inside:
        return _optional(_decoder_of(inside[inside[0] is _NONE]))
    if origin is tuple and inside[1:] != (...,):
        return _fixed(tuple(map(_decoder_of, inside)))
    if origin in (tuple, list):
        return _array(origin, _decoder_of(inside[0]))
    if origin is dict and inside[0] is str:
        return _mapping(_decoder_of(inside[1]))
    raise TypeError(f"{kind!r} is nothing that a message can have")


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (list, tuple)):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _wrong(expected: str, value: Any) -> DecodeError:
    return DecodeError(f"must be {expected}, is {_shown(value)}")


def _scalar(kind: type, expected: str) -> _Decoder:
    def decoder(value: Any) -> Any:
        if type(value) is not kind:
            raise _wrong(expected, value)
        return value

    return decoder


def _int(value: Any) -> int:
    if type(value) is not int:  # not isinstance: bool is a subclass of int
        raise _wrong("a whole number", value)
    if not -(1 << 63) <= value < 1 << 64:  # what a kernel's counter can hold
        raise DecodeError("must be a whole number of 64 bits")
    return value


def _float(value: Any) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            pass
    raise _wrong("a finite number", value)


_SCALARS: Mapping[Any, _Decoder] = {
    int: _int,
    float: _float,
    str: _scalar(str, "a string"),
    bool: _scalar(bool, "true or false"),
    Any: lambda value: value,
}


def _literal(choices: tuple[Any, ...]) -> _Decoder:
    expected = " or ".join(map(repr, choices))

    def decoder(value: Any) -> Any:
        for choice in choices:
            if type(value) is type(choice) and value == choice:
                return choice
        raise _wrong(expected, value)

    return decoder


def _optional(decoder: _Decoder) -> _Decoder:
    return lambda value: None if value is None else decoder(value)


def _each(decoders: Iterable[_Decoder], values: Iterable[Any]) -> list[Any]:
    decoded: list[Any] = []
    try:
        for decoder, value in zip(decoders, values):  # noqa: B905  (Python 3.9; one is endless)
            decoded.append(decoder(value))
    except DecodeError as error:
        raise error.within(f"[{len(decoded)}]") from None
    return decoded


def _array(kind: type, decoder: _Decoder) -> _Decoder:
    def array(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise _wrong("an array", value)
        return kind(_each([decoder] * len(value), value))

    return array


def _fixed(decoders: tuple[_Decoder, ...]) -> _Decoder:
    def array(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise _wrong(f"an array of {len(decoders)}", value)
        if len(value) != len(decoders):
            raise DecodeError(f"must be an array of {len(decoders)}, has {len(value)} values")
        return tuple(_each(decoders, value))

    return array


def _mapping(decoder: _Decoder) -> _Decoder:
    def mapping(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _wrong("an object", value)
        decoded = {}
        for key, inside in value.items():
            if type(key) is not str:
                raise DecodeError(f"has the key {_shown(key)}, which is no string")
            try:
                decoded[key] = decoder(inside)
            except DecodeError as error:
                raise error.within("." + key[:_SHOWN]) from None
        return decoded

    return mapping


class _Fields(NamedTuple):
    """What an object may have.

    Attributes:
        decoders: By key.
        required: The keys that it must have, in their order.
    """

    decoders: Mapping[str, _Decoder]
    required: tuple[str, ...]

    def decode(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong("an object", value)
        decoded = {}
        for key, inside in value.items():
            decoder = self.decoders.get(key)
            if decoder is None:
                known = ", ".join(self.decoders) or "none"
                raise DecodeError(f"unknown key (known: {known})", "." + str(key)[:_SHOWN])
            try:
                decoded[key] = decoder(inside)
            except DecodeError as error:
                raise error.within("." + key) from None
        for key in self.required:
            if key not in decoded:
                raise DecodeError("missing", "." + key)
        return decoded


def _dataclass(cls: Any) -> _Decoder:
    names = vars(sys.modules[cls.__module__])
    fields = [field for field in dataclasses.fields(cls) if field.init]
    missing = dataclasses.MISSING
    shape = _Fields(
        {field.name: _decoder_of(type_of(field.type, names)) for field in fields},
        tuple(
            field.name
            for field in fields
            if field.default is missing and field.default_factory is missing
        ),
    )
    return lambda value: cls(**shape.decode(value))


@lru_cache(None)
def _arguments_of(function: Any) -> Callable[[Any], dict[str, Any]]:
    code, hints = function.__code__, function.__annotations__
    first = code.co_argcount
    keywords = code.co_varnames[first : first + code.co_kwonlyargcount]
    optional = function.__kwdefaults__ or {}
    return _Fields(
        {name: _decoder_of(type_of(hints[name], function.__globals__)) for name in keywords},
        tuple(name for name in keywords if name not in optional),
    ).decode

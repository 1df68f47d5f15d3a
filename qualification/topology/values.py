"""The kinds of single values in a topology, each with its rule in words.

Pydantic's own kinds are too generous for files that people write: `ip_interface` takes a bare
number, an integer takes `true`, a switch takes `yes`. These take what was meant.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from qualification.config.environment import VARIABLE_NAME, FromEnvironment
from qualification.config.wording import shown

NAME = "[A-Za-z0-9][A-Za-z0-9_-]*"

InterfaceAddress = IPv4Interface | IPv6Interface


class Password(SecretStr):
    """A secret that knows its ``${NAME}``, so that a topology can be written without telling it.

    Args:
        secret: The password itself; never printed.
        source: The ``${NAME}`` that it came from.
    """

    def __init__(self, secret: str, source: str) -> None:
        super().__init__(secret)
        self.source = source


def objection(what: str, hint: str | None = None) -> PydanticCustomError:
    """An error that pydantic carries to its place; raised by the validators of this package."""
    return PydanticCustomError("objection", "{what}", {"what": what, "hint": hint})


@dataclass(frozen=True)
class Shape:
    """What a text must look like: a pattern for machines, the rule in words for people."""

    pattern: str
    rule: str

    def check(self, text: str) -> str:
        """Return the text, or object in the rule's words."""
        if not re.fullmatch(self.pattern, text):
            raise objection(f"{shown(text)} {self.rule}")
        return text

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}


class OrVariable:
    """Tells the JSON schema, which sees files before substitution, that ``${NAME}`` may stand."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "string", "pattern": r"\$\{"}]}


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise objection(f"must be a whole number, not {shown(value)}")
    return value


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if isinstance(value, str) and word in ("true", "false"):
        return word == "true"
    hint = "write true or false"
    if word in ("yes", "on", "y", "1"):
        hint = "write true"
    if word in ("no", "off", "n", "0"):
        hint = "write false"
    raise objection(f"must be true or false, not {shown(value)}", hint)


def _knob(value: object) -> bool | int | float | str:
    """Take a knob as YAML typed it; text from the environment has yet to get its type."""
    if isinstance(value, FromEnvironment):
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        for number in (int, float):
            try:
                return _knob(number(value))
            except ValueError:
                continue
        return str(value)
    if isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise objection("must be a finite number, text, true or false")


def _address(value: object) -> InterfaceAddress:
    if isinstance(value, (IPv4Interface, IPv6Interface)):
        return _usable(value)
    if not isinstance(value, str):
        raise objection("must be an address with a prefix, such as 198.18.0.1/24")
    if "/" not in value:
        raise objection(
            f"{shown(value)} has no prefix length",
            "write the interface's address and its prefix, such as 198.18.0.1/24",
        )
    try:
        address = ip_interface(value)
    except ValueError:
        raise objection(
            f"{shown(value)} is no IPv4 or IPv6 address with a prefix",
            "write one such as 198.18.0.1/24 or fd00:18::1/64",
        ) from None
    return _usable(address)


def _usable(address: InterfaceAddress) -> InterfaceAddress:
    """The address, if a NIC can have it and a tunnel end there."""
    if address.is_multicast or address.is_loopback or address.is_unspecified:
        raise objection(f"{address} cannot be the address of a NIC", "give it a unicast address")
    if isinstance(address, IPv6Interface) and address.is_link_local:
        raise objection(
            f"{address} is link-local, and the end of a tunnel cannot be", "take one of fd00::/8"
        )
    # A /31, a /127 and longer have no addresses set apart (RFC 3021, RFC 6164).
    network = address.network
    if network.prefixlen < network.max_prefixlen - 1:
        if address.ip == network.network_address:
            raise objection(
                f"{address} is the address of the network itself", "give a host's address"
            )
        if address.version == 4 and address.ip == network.broadcast_address:
            raise objection(f"{address} is the broadcast address", "give a host's address")
    return address


def _password(value: object) -> Password | None:
    # No message here may repeat the value.
    if value is None or isinstance(value, Password):
        return value
    if not (
        isinstance(value, FromEnvironment)
        and re.fullmatch(rf"\$\{{{VARIABLE_NAME}\}}", value.source)
    ):
        raise objection(
            "a password must not stand in the file",
            "put it into an environment variable and name that: password: ${LAB_PASSWORD}",
        )
    if not value:
        raise objection(f"{value.source} is empty", "put the password into that variable")
    return Password(str(value), value.source)


Name = Annotated[
    str,
    Shape(NAME, "must begin with a letter or digit and go on with those, '_' or '-'"),
]
"""The name of a host, a NIC or a pair; it goes into test ids."""

NicName = Annotated[
    str, Shape(rf"{NAME}\.{NAME}", "must name a NIC as host.nic, such as alpha.port0")
]

Line = Annotated[str, Shape(r"[^\x00-\x1f\x7f]+", "must be one line of text, and not empty")]

Address = Annotated[
    str,
    Shape(r"[^\s@/\x00]+", "must be a host name or an IP address alone, without user or port"),
]

# What dev_valid_name() of the kernel takes, of printable ASCII.
Interface = Annotated[
    str,
    Shape(
        r"(?!\.{1,2}$)[!-.0-9;-~]{1,15}",
        "is no name for an interface: 1 to 15 characters without '/', ':' or blanks",
    ),
    OrVariable(),
]

Underlay = Annotated[
    InterfaceAddress,
    PlainValidator(_address),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": r"/[0-9]|\$\{"}),
]

Whole = Annotated[int, BeforeValidator(_no_flag), OrVariable()]
Port = Annotated[int, Field(ge=1, le=65535), BeforeValidator(_no_flag), OrVariable()]
Vlan = Annotated[int, Field(ge=1, le=4094), BeforeValidator(_no_flag), OrVariable()]
Switch = Annotated[bool, BeforeValidator(_flag)]
Flag = Annotated[Switch, OrVariable()]
KnobValue = Annotated[
    bool | int | float | str,
    PlainValidator(_knob),
    WithJsonSchema({"type": ["boolean", "number", "string"]}),
]
Secret = Annotated[
    Password | None,
    PlainValidator(_password),
    PlainSerializer(lambda password: password.source, return_type=str, when_used="unless-none"),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": rf"^\$\{{{VARIABLE_NAME}\}}$"}, {"type": "null"}]}
    ),
]

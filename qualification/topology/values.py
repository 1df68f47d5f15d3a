"""The kinds of single values that only topologies have, each with its rule in words.

`config.values` has the kinds that other files use too. As there, pydantic's own kinds accept too
much: `ip_interface`, for one, accepts a bare number.
"""

from __future__ import annotations

import math
import re
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    WithJsonSchema,
)

from qualification.config.environment import VARIABLE_NAME, FromEnvironment
from qualification.config.values import (
    NAME,
    Line,
    Name,
    OrVariable,
    Shape,
    Switch,
    no_flag,
    objection,
)
from qualification.config.wording import shown

# Those of config.values that were here before are still imported from here.
__all__ = [
    "Address",
    "Flag",
    "Interface",
    "InterfaceAddress",
    "KnobValue",
    "Line",
    "Name",
    "NicName",
    "Password",
    "Port",
    "Secret",
    "Shape",
    "Switch",
    "Underlay",
    "Vlan",
    "objection",
]

InterfaceAddress = IPv4Interface | IPv6Interface


class Password(SecretStr):
    """A password that knows its ``${NAME}``, so that a dumped topology need not contain it.

    Args:
        secret: The password itself; it is never printed.
        source: The ``${NAME}`` that it came from.
    """

    def __init__(self, secret: str, source: str) -> None:
        super().__init__(secret)
        self.source = source


def _knob(value: object) -> bool | int | float | str:
    """Returns a knob's value as YAML typed it. Text from the environment gets its type here."""
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
    """Returns the address.

    Raises:
        PydanticCustomError: A NIC cannot have the address, or a tunnel cannot end there.
    """
    if address.is_multicast or address.is_loopback or address.is_unspecified:
        raise objection(f"{address} cannot be the address of a NIC", "give it a unicast address")
    if isinstance(address, IPv6Interface) and address.is_link_local:
        raise objection(
            f"{address} is link-local, and the end of a tunnel cannot be", "use one of fd00::/8"
        )
    # A /31, a /127 and longer prefixes have no reserved addresses (RFC 3021, RFC 6164).
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
            "a password must not be in the file",
            "put it into an environment variable and write its name: password: ${LAB_PASSWORD}",
        )
    if not value:
        raise objection(f"{value.source} is empty", "put the password into that variable")
    return Password(str(value), value.source)


NicName = Annotated[
    str, Shape(rf"{NAME}\.{NAME}", "must name a NIC as host.nic, such as alpha.port0")
]
"""The name of a NIC in the whole topology."""

Address = Annotated[
    str,
    Shape(r"[^\s@/\x00]+", "must be a host name or an IP address alone, without user or port"),
]

# The names that the kernel's dev_valid_name() accepts, as far as they are printable ASCII.
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

Port = Annotated[int, Field(ge=1, le=65535), BeforeValidator(no_flag), OrVariable()]
Vlan = Annotated[int, Field(ge=1, le=4094), BeforeValidator(no_flag), OrVariable()]
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

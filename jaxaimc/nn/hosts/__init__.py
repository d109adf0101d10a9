"""Kinds of layers that can be analog, a file each."""

from typing import Any

from jaxaimc.nn.hosts.base import Host
from jaxaimc.nn.hosts.bias import BiasHost
from jaxaimc.nn.hosts.conv import ConvHost, ConvTransposeHost
from jaxaimc.nn.hosts.einsum import EinsumHost
from jaxaimc.nn.hosts.embed import EmbedHost
from jaxaimc.nn.hosts.linear import LinearGeneralHost, LinearHost

__all__ = [
    "HOSTS",
    "BiasHost",
    "ConvHost",
    "ConvTransposeHost",
    "EinsumHost",
    "EmbedHost",
    "Host",
    "LinearGeneralHost",
    "LinearHost",
    "host_of",
]

HOSTS: tuple[Host, ...] = (
    LinearHost(),
    LinearGeneralHost(),
    EinsumHost(),
    ConvHost(),
    ConvTransposeHost(),
    EmbedHost(),
)


def host_of(layer: Any) -> Host | None:
    """Return the built-in host of a layer, or None.

    Args:
        layer: Any module.
    """
    return next((host for host in HOSTS if isinstance(layer, host.kind)), None)

"""The section `[board]`: the web server, and who may see and do what there. `default.toml` explains each key."""

from collections.abc import Iterator
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from config.values import CrmUrl, FilePath, Host, Port, SecretText, ShardOfReps
from schemas.errors import ConfigError

Role = Literal["read", "write"]
ROLES: dict[Role, frozenset[Role]] = {"read": frozenset({"read"}), "write": frozenset({"read", "write"})}
"""What each role may do."""
MIN_TOKEN_CHARACTERS = 16

HeaderName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}$", description="the name of a header: letters, digits and dashes")
]
Networks = Annotated[
    tuple[Annotated[str, Meta(pattern=r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$")], ...],
    Meta(description="addresses or networks like 10.0.0.0/8, also none; in the environment with commas between them"),
]
Users = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...],
    Meta(description="user names, or * for everyone, also none; in the environment with commas between them"),
]
HostNames = Annotated[
    tuple[Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$")], ...],
    Meta(description="host names without a port, also none; in the environment with commas between them"),
]
Streams = Annotated[int, Meta(ge=1, le=100_000, description="a whole number from 1 to 100000")]
MetricsWindows = Annotated[
    tuple[Literal["today", "7d", "30d", "90d", "365d", "all"], ...],
    Meta(
        min_length=1,
        description="one or more of today, 7d, 30d, 90d, 365d and all; in the environment with commas between them",
    ),
]
Letters = Annotated[int, Meta(ge=0, le=10_000, description="a whole number from 0 (off) to 10000")]


class BoardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The board's web server."""

    host: Host = "127.0.0.1"
    port: Port = 8080
    crm_url: CrmUrl | None = None
    shard: ShardOfReps = "0/1"
    anonymous: Literal["nothing", "read", "write"] | None = None
    metrics_access: Literal["read", "open"] = "read"
    tokens: SecretText | None = None
    """What `tokens_file` holds, once loaded."""
    tokens_file: FilePath | None = None
    streams: Streams = 500
    streams_per_client: Streams = 50
    hosts: HostNames = ()
    user_header: HeaderName | None = None
    trusted_proxies: Networks = ("127.0.0.1", "::1")
    writers: Users = ("*",)
    dead_letters_kept: Letters = 500
    metrics_windows: MetricsWindows = ("today", "7d", "30d")
    metrics_pipeline_windows: MetricsWindows = ("30d",)


class Token(NamedTuple):
    """A token's digest, the name of its holder, and its role."""

    digest: bytes
    name: str
    role: Role


Network = IPv4Network | IPv6Network


def board_problems(board: BoardSettings) -> Iterator[tuple[str, object, str]]:
    """The dotted key, its value, and what is allowed."""
    try:
        networks_of(board)
    except ValueError as error:
        yield "board.trusted_proxies", board.trusted_proxies, f"addresses or networks like 10.0.0.0/8 ({error})"
    index, count = map(int, board.shard.split("/"))
    if index >= count:
        yield "board.shard", board.shard, "shards counted from 0: 0/4, 1/4, 2/4 or 3/4 of four"
    if board.user_header is not None and not board.trusted_proxies:
        yield "board.trusted_proxies", "none", "the proxies that may set board.user_header"


def networks_of(board: BoardSettings) -> tuple[Network, ...]:
    """The networks of trusted proxies; raises ValueError."""
    return tuple(map(ip_network, board.trusted_proxies))


def is_proxy(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether a peer's address is in one of the networks of trusted proxies."""
    peer = address_of(address)
    if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return peer is not None and any(peer in network for network in networks)


def digest_of(token: str) -> bytes:
    """The digest that is stored and compared instead of a token."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def tokens_of(board: BoardSettings) -> tuple[Token, ...]:
    """The tokens; raises ConfigError that names the entry, and never a token."""
    if board.tokens is None:
        return ()
    place = "board.tokens" if board.tokens_file is None else f"board.tokens_file = {board.tokens_file}"
    lines = [line for line in board.tokens.reveal().splitlines() if not line.lstrip().startswith("#")]
    entries = [entry.split() for line in lines for entry in line.split(",") if entry.strip()]
    tokens = [_token(f"{place}: entry {number}", words) for number, words in enumerate(entries, 1)]
    if not tokens:
        raise ConfigError(f"{place}: holds no token; allowed: at least one line `name role token`")
    if len({token.digest for token in tokens}) < len(tokens):
        raise ConfigError(f"{place}: holds a token twice; allowed: a token of one name only")
    return tuple(tokens)


def anonymous_role(board: BoardSettings) -> Role | None:
    """The role of those who have not signed in. Raises ConfigError when a network could reach an open board."""
    signs_in = board.tokens is not None or board.user_header is not None
    match board.anonymous:
        case "nothing":
            return None
        case "read" | "write" as role:
            return role
        case None if signs_in:
            return None
        case None if is_loopback(board.host):
            return "write"
    mend = "set board.tokens_file or board.user_header, or say with board.anonymous what everybody may do"
    raise ConfigError(
        f"board.host = {board.host}: is open to a network; allowed: 127.0.0.1 while nobody has to sign in; {mend}"
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    address = address_of(host)
    return host == "localhost" if address is None else address.is_loopback


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """An address; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _token(place: str, words: list[str]) -> Token:
    match words:
        case [name, ("read" | "write") as role, token] if len(token) >= MIN_TOKEN_CHARACTERS:
            return Token(digest_of(token), name, role)
    roles = " or ".join(get_args(Role))
    raise ConfigError(
        f"{place}: does not fit; allowed: `name role token`, the role {roles}, "
        f"the token {MIN_TOKEN_CHARACTERS} letters or more"
    )

"""A photo from a public web address, without becoming a way into the network that this machine stands in.

Enters: an address from a user. Leaves: the bytes of an answer, not yet decoded; or a `UserError` that says why not.
A name is resolved once, all its addresses are checked, and the connection goes to the very address that was checked; the
certificate is checked against the name. Each redirection is checked in the same way.
"""

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Timer

from preprocessing.errors import UserError

PORTS = (80, 443)
_REDIRECTS = {301, 302, 303, 307, 308}
_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_SHARED = [
    ipaddress.ip_network(network)
    for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "100.64.0.0/10", "192.88.99.0/24", "fec0::/10")
]
"""Translated, tunnelled and shared addresses: what they lead to cannot be told from here."""


@dataclass(frozen=True)
class Limits:
    """How much one photo may take."""

    size: int = 20 * 2**20
    """Bytes."""
    seconds: float = 10.0
    """In all: names, connections, redirections and the answer."""
    redirects: int = 3


Resolver = Callable[[str], Sequence[str]]
"""A host name -> its IP addresses as text."""


def system_resolver(host: str) -> list[str]:
    """All addresses of a name, as this machine finds them."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def system_connect(address: str, port: int, seconds: float) -> socket.socket:
    """A connection to an IP address."""
    return socket.create_connection((address, port), seconds)


@dataclass(frozen=True)
class Web:
    """How names are resolved and connections made."""

    resolve: Resolver = system_resolver
    connect: Callable[[str, int, float], socket.socket] = system_connect


@dataclass(frozen=True)
class Target:
    """A checked address.

    Attributes:
        url: as it was checked.
        secure: whether by https.
        host: name or IP address, lower case, in ASCII.
        port: where to connect.
        path: with the query, as it is asked for.
    """

    url: str
    secure: bool
    host: str
    port: int
    path: str


def fetch(url: str, limits: Limits | None = None, web: Web | None = None) -> bytes:
    """Fetch what an address holds.

    Args:
        url: http or https, on their usual ports.
        limits: size, time and number of redirections.
        web: how names are resolved and connections made; the system's way by default.

    Raises:
        UserError: the address is not allowed, does not answer, or gives too much.
    """
    limits, web = limits or Limits(), web or Web()
    until = time.monotonic() + limits.seconds
    for _ in range(limits.redirects + 1):
        target = parse_url(url)
        try:
            addresses = public_addresses(target.host, lambda host: _in_time(web.resolve, host, until))
            content, url = _ask(target, addresses, limits, web, until)
        except (OSError, http.client.HTTPException) as error:
            raise UserError(f"{shown(target.url)}: does not answer ({_said(error)}); give another address or the file") from None
        if not url:
            return content
        url = urllib.parse.urljoin(target.url, url)
    raise UserError(f"{shown(url)}: redirected more than {limits.redirects} times; give the photo's own address")


def _in_time(resolve: Resolver, host: str, until: float) -> Sequence[str]:
    """What a resolver answers within the time that is left; the system's own may take minutes."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(resolve, host).result(_left(until))
    finally:
        pool.shutdown(wait=False)


def parse_url(url: str) -> Target:
    """Take an address apart, in the one way in which it is then used.

    Raises:
        UserError: not http(s), a user name in it, a port that is not allowed, characters that parsers disagree about, a host
            that is neither a public-looking name nor an IP address in its usual form.
    """
    if re.search(r"[\s\\\x00-\x1f\x7f]", url.strip()) or len(url) > 2048:
        raise _refused(url, "holds blanks, backslashes or control characters, or is longer than 2,048")
    try:
        parts = urllib.parse.urlsplit(url.strip())
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        raise _refused(url, f"is no address ({error})") from None
    if parts.scheme not in ("http", "https"):
        raise _refused(url, "is not http:// or https://")
    if "@" in parts.netloc:
        raise _refused(url, "holds a user name")
    secure = parts.scheme == "https"
    port = port if port is not None else (443 if secure else 80)
    if port not in PORTS:
        raise _refused(url, f"asks for port {port}; allowed are {' and '.join(map(str, PORTS))}")
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return Target(url.strip(), secure, _host(host, url), port, path + (f"?{query}" if query else ""))


def _host(host: str, url: str) -> str:
    """A host in its usual form: an IP address, or a name in ASCII with at least one dot."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        name = host.encode("idna").decode("ascii").lower() if not host.isascii() else host
    except UnicodeError:
        raise _refused(url, f"has the host {host!r}, which is no name") from None
    name = name.rstrip(".")
    if not _NAME.fullmatch(name):
        raise _refused(url, f"has the host {host!r}; expected a full name (example.org) or an IP address in its usual form")
    return name


def public_addresses(host: str, resolve: Resolver) -> list[str]:
    """The IP addresses to connect to, in the resolver's order.

    Raises:
        UserError: the host has no address, or any of its addresses is not a public one.
    """
    try:
        found = [host] if _is_address(host) else list(dict.fromkeys(resolve(host)))
    except socket.gaierror as error:
        raise UserError(f"{host}: no such host ({_said(error)}); check the address") from None
    if not found:
        raise UserError(f"{host}: no such host; check the address")
    private = [address for address in found if not is_public(address)]
    if private:
        raise UserError(f"{host}: leads to {private[0]}, which is no public address; photos are fetched from the open web only")
    return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Whether an IP address lies on the open internet, and nowhere else whichever way it is read."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return False
        mapped = ip.ipv4_mapped
        if mapped is not None:
            return is_public(str(mapped))
        if ip in ipaddress.ip_network("::/96"):  # an IPv4 address in the old notation
            return False
    if any(ip.version == network.version and ip in network for network in _SHARED):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback or ip.is_link_local)


class _Pinned(http.client.HTTPConnection):
    """A connection to addresses that were checked, whatever the name says by now; TLS is checked against the name."""

    def __init__(self, target: Target, addresses: Sequence[str], web: Web, until: float) -> None:
        super().__init__(target.host, target.port)
        self._target, self._addresses, self._web, self._until = target, addresses, web, until

    def connect(self) -> None:
        for last, address in zip(range(len(self._addresses) - 1, -1, -1), self._addresses, strict=True):
            try:
                sock = self._web.connect(address, self._target.port, _left(self._until))
                break
            except OSError:
                if not last:
                    raise
        sock.settimeout(_left(self._until))
        if self._target.secure:
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=self._target.host)
        self.sock = sock


def _ask(target: Target, addresses: Sequence[str], limits: Limits, web: Web, until: float) -> tuple[bytes, str]:
    """The content, or where the answer redirects to."""
    connection = _Pinned(target, addresses, web, until)
    connection.connect()
    # A server that sends a byte now and then never runs into a socket's own timeout.
    end = Timer(_left(until), _cut, (connection.sock,))
    end.start()
    try:
        connection.request("GET", target.path, headers={"Accept": "image/*", "User-Agent": "caer", "Accept-Encoding": "identity"})
        answer = connection.getresponse()
        if answer.status in _REDIRECTS:
            return b"", answer.getheader("Location") or _no_photo(target, answer.status)
        if answer.status != 200:
            _no_photo(target, answer.status)
        content = answer.read(limits.size + 1)
        _left(until)
        if len(content) > limits.size:
            raise UserError(f"{shown(target.url)}: more than {limits.size / 2**20:g} MB; give a smaller photo")
        return content, ""
    finally:
        end.cancel()
        connection.close()


def _cut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _left(until: float) -> float:
    """Seconds that are left; an error where none are."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("it takes too long")
    return left


def _no_photo(target: Target, status: int) -> str:
    raise UserError(f"{shown(target.url)}: answers {status}; expected a photo there")


def _refused(url: str, why: str) -> UserError:
    return UserError(f"{shown(url)}: {why}; expected a public http(s) address of a photo")


def shown(url: str) -> str:
    """An address for a message: short, and without a password."""
    short = re.sub(r"//[^/@]*@", "//", "".join(c if c.isprintable() else "?" for c in url))
    return short if len(short) <= 120 else short[:117] + "..."


def _said(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)

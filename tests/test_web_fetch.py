"""Photos from web addresses: tricky addresses are refused before anything is connected; answers are bounded."""

import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from caer.web.fetch import Limits, Web, fetch, is_public, parse_url, public_addresses
from preprocessing.errors import UserError

PUBLIC = "93.184.215.14"


def never(*arguments):
    raise AssertionError(f"nothing may be connected or resolved: {arguments}")


REFUSED = [
    "",
    "photo.jpg",
    "//example.org/a.jpg",
    "ftp://example.org/a.jpg",
    "file:///etc/passwd",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "gopher://example.org/",
    "http:///a.jpg",
    "http://",
    "https://user@example.org/a.jpg",
    "https://example.org@127.0.0.1/",
    "https://127.0.0.1@example.org/",
    "https://user:secret@example.org/a.jpg",
    "https://@example.org/",
    "http://example.org:22/",
    "http://example.org:8501/",
    "http://example.org:0/",
    "http://example.org:99999/",
    "http://example.org:http/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://intranet/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.0.0.1.",
    "http://0/",
    "http://127.0.0.1\\@example.org/",
    "http://example.org\\@127.0.0.1/",
    "http://example.org\t.evil/",
    "http://exa mple.org/",
    "http://example.org/\r\nHost: internal",
    "http://exam\x00ple.org/",
    "http://[::1",
    "http://[fe80::1%25eth0]/",
    "http://[::ffff:7f00:1%lo]/",
    "http://ex%61mple.org/",
    "http://-example.org/",
    "http://example..org/",
    "http://" + "a" * 64 + ".org/",
    "http://example.org/" + "a" * 3000,
]


@pytest.mark.parametrize("url", REFUSED)
def test_tricky_addresses_are_refused_before_any_name_is_asked(url):
    with pytest.raises(UserError) as error:
        fetch(url, web=Web(never, never))
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "192.88.99.1",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:5db8:d70e::",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "not an address",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)
    with pytest.raises(UserError, match="no public address"):
        fetch("http://rebound.example.org/", web=Web(lambda host: [address], never))
    with pytest.raises(UserError, match="no public address"):
        fetch("http://rebound.example.org/", web=Web(lambda host: [PUBLIC, address], never))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "[0:0:0:0:0:ffff:7f00:1]"])
def test_addresses_in_the_address_are_checked_alike(host):
    with pytest.raises(UserError, match="no public address"):
        fetch(f"http://{host}/", web=Web(never, never))


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://example.org", "example.org", 443, "/"),
        ("HTTP://EXAMPLE.org:80/a b.jpg".replace(" ", "%20"), "example.org", 80, "/a%20b.jpg"),
        ("http://example.org./x?q=ä#part", "example.org", 80, "/x?q=%C3%A4"),
        ("https://bücher.example/ä.jpg", "xn--bcher-kva.example", 443, "/%C3%A4.jpg"),
        ("http://1.1.1.1/", "1.1.1.1", 80, "/"),
        ("https://[2606:4700:4700:0::1111]/", "2606:4700:4700::1111", 443, "/"),
        ("http://example.org/@x/../y", "example.org", 80, "/@x/../y"),
    ],
)
def test_addresses_that_are_allowed_mean_one_thing(url, host, port, path):
    target = parse_url(url)
    assert (target.host, target.port, target.path) == (host, port, path)


@pytest.mark.parametrize("host", ["１２７.０.０.１", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "127。0。0。1", "例え"])
def test_names_that_unicode_turns_into_others_end_as_what_they_become(host):
    with pytest.raises(UserError):
        fetch(f"http://{host}/", web=Web(never, never))


def test_a_name_without_address_is_named():
    def unknown(host):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for resolve in (unknown, lambda host: []):
        with pytest.raises(UserError, match=r"nowhere\.example: no such host"):
            public_addresses("nowhere.example", resolve)


class Answers(BaseHTTPRequestHandler):
    """What the test's server says, by path."""

    def do_GET(self):
        self.server.asked.append((self.headers["Host"], self.path))
        self.server.answers[self.path](self)

    def log_message(self, *arguments):
        pass


def content(body, status=200, **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@contextmanager
def local_server(answers):
    """A server on the loopback interface, and a `Web` in which each name leads to a public address that means this server."""
    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.answers, server.asked, server.connected, server.heard_out = answers, [], [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()

    def connect(address, port, seconds):
        server.connected.append((address, port))
        return socket.create_connection(server.server_address, seconds)

    try:
        yield server, Web(lambda host: [PUBLIC], connect)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_content_comes_from_the_address_that_was_checked():
    with local_server({"/a.jpg?x=1": content(b"photo")}) as (server, web):
        resolved = []
        noted = Web(lambda host: resolved.append(host) or [PUBLIC], web.connect)
        assert fetch("http://example.org/a.jpg?x=1", web=noted) == b"photo"
        assert (resolved, server.connected) == (["example.org"], [(PUBLIC, 80)]), "resolved once, connected to what was checked"
        assert server.asked == [("example.org", "/a.jpg?x=1")]


def test_the_next_address_is_tried_where_one_does_not_answer():
    with local_server({"/": content(b"photo")}) as (_, web):

        def connect(address, port, seconds):
            if address == "1.1.1.1":
                raise ConnectionRefusedError("refused")
            return web.connect(address, port, seconds)

        assert fetch("http://example.org/", web=Web(lambda host: ["1.1.1.1", PUBLIC], connect)) == b"photo"
        with pytest.raises(UserError, match="does not answer"):
            fetch("http://example.org/", web=Web(lambda host: ["1.1.1.1"], connect))


def test_redirections_are_followed_three_times_and_each_is_checked():
    chain = {f"/{i}": content(b"", 302, Location=f"http://host{i + 1}.example/{i + 1}") for i in range(9)}
    with local_server({**chain, "/3": content(b"photo"), "/r": content(b"", 301, Location="3")}) as (server, web):
        assert fetch("http://host0.example/0", web=web) == b"photo"
        assert [host for host, _ in server.asked] == [f"host{i}.example" for i in range(4)]
        assert fetch("http://example.org/r", web=web) == b"photo"
        server.answers["/3"] = chain["/3"]
        with pytest.raises(UserError, match="redirected more than 3 times"):
            fetch("http://host0.example/0", web=web)


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.1/",
        "http://[::1]/",
        "file:///etc/passwd",
        "http://inside.example/",
        "http://example.org:22/",
        "//10.0.0.1/",
        "",
    ],
)
def test_no_redirection_leads_inside(place):
    with local_server({"/": content(b"", 302, Location=place)}) as (server, web):
        inward = Web(lambda host: ["10.0.0.7"] if host == "inside.example" else [PUBLIC], web.connect)
        with pytest.raises(UserError):
            fetch("http://example.org/", web=inward)
        assert len(server.connected) == 1


def test_a_name_that_turns_inward_between_two_requests_is_caught():
    with local_server({"/": content(b"", 302, Location="http://example.org/again")}) as (server, web):
        answers = iter([[PUBLIC], ["127.0.0.1"]])
        with pytest.raises(UserError, match="no public address"):
            fetch("http://example.org/", web=Web(lambda host: next(answers), web.connect))
        assert len(server.connected) == 1


def test_too_much_is_refused_whether_announced_or_not():
    with local_server({"/": content(b"x" * 3000), "/said": content(b"x" * 3000, **{"Content-Length": "3000"})}) as (_, web):
        for path in ("/", "/said"):
            with pytest.raises(UserError, match="more than"):
                fetch(f"http://example.org{path}", Limits(size=2000), web)
        assert len(fetch("http://example.org/", Limits(size=3000), web)) == 3000


@pytest.mark.parametrize("status", [204, 206, 304, 403, 404, 500])
def test_other_answers_are_no_photo(status):
    with local_server({"/": content(b"", status)}) as (_, web), pytest.raises(UserError, match=f"answers {status}"):
        fetch("http://example.org/", web=web)


def drip(handler):
    """A byte now and then, for two minutes or until nobody listens: a socket's own timeout never comes."""
    with suppress(OSError):
        for _ in range(2400):
            handler.wfile.write(b"x")
            time.sleep(0.05)
        handler.server.heard_out.append(handler.path)


def drip_body(handler):
    content(b"")(handler)
    drip(handler)


@pytest.mark.parametrize("answer", [drip, drip_body])
def test_time_ends_for_servers_that_drip(answer):
    with local_server({"/": answer}) as (server, web), pytest.raises(UserError, match="does not answer"):
        fetch("http://example.org/", Limits(seconds=0.5), web)
    assert server.heard_out == [], "whoever drips is not heard out"


def test_time_ends_for_resolvers_that_do_not_answer():
    release = threading.Event()
    with pytest.raises(UserError, match="does not answer"):
        fetch("http://example.org/", Limits(seconds=0.2), Web(lambda host: release.wait(60) or [], never))
    release.set()


def test_a_certificate_must_be_for_the_name():
    with local_server({"/": content(b"photo")}) as (_, web), pytest.raises(UserError, match="does not answer"):
        fetch("https://example.org/", web=web)
    assert ssl.create_default_context().check_hostname

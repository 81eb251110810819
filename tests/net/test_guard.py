from __future__ import annotations

from ipaddress import ip_address

import pytest

from include.errors import InvalidInputData, ParameterError
from include.net.guard import allowed, check_literal, resolve
from include.net.urls import parse_source
from include.settings import Settings

NOWHERE = Settings()
LOCAL = Settings(allowed_networks=("127.0.0.1/32", "10.1.0.0/16", "fd00:1::/32"))

FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_what_is_not_the_public_internet_may_not_be_reached(address: str) -> None:
    assert not allowed(ip_address(address), NOWHERE)
    with pytest.raises(InvalidInputData, match="may not be reached"):
        resolve("host.example", 80, NOWHERE, lookup=lambda host, port: ["93.184.216.34", address])


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "1.1.1.1", "172.32.0.1", "223.255.255.255", "2606:2800:220:1::1", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"],
)
def test_public_addresses_may_be_reached_and_not_listened_on(address: str) -> None:
    assert allowed(ip_address(address), NOWHERE)
    assert not allowed(ip_address(address), NOWHERE, listening=True)


def test_a_setting_allows_networks_and_no_more() -> None:
    reachable = ["127.0.0.1", "::ffff:127.0.0.1", "10.1.2.3", "fd00:1::5"]
    assert all(allowed(ip_address(address), LOCAL) for address in reachable)
    assert allowed(ip_address("127.0.0.1"), LOCAL, listening=True)
    assert not any(allowed(ip_address(address), LOCAL) for address in ["127.0.0.2", "10.2.0.1", "::1", "fd00:2::1"])


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://localhost/",
        "http://a.localhost/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:0:0:1]:8080/",
        "http://example.com@169.254.169.254/latest/meta-data/",
        "rtmp://10.0.0.1/app/key",
        "srt://192.168.1.1:9000",
        "udp://93.184.216.34:5000",
        "srt://93.184.216.34:9000?mode=listener",
    ],
)
def test_a_forbidden_address_in_a_request_is_seen_without_asking_for_names(text: str) -> None:
    with pytest.raises(ParameterError, match="MEDIA_ALLOWED_NETWORKS"):
        check_literal(parse_source(text), NOWHERE)


@pytest.mark.parametrize("text", ["http://example.com/", "s3://media/a.mp4", "http://1.1.1.1/", "udp://example.com:5000"])
def test_names_and_public_addresses_pass(text: str) -> None:
    check_literal(parse_source(text), NOWHERE)


def test_all_addresses_of_a_name_are_returned_once_they_are_checked() -> None:
    found = resolve("host.example", 80, NOWHERE, lookup=lambda host, port: ["1.1.1.1", "2606:4700::1111"])
    assert found == ("1.1.1.1", "2606:4700::1111")


def no_name(host: str, port: int) -> list[str]:
    raise OSError


@pytest.mark.parametrize("lookup", [no_name, lambda host, port: [], lambda host, port: ["no address"]])
def test_a_name_without_addresses_is_the_inputs_fault(lookup: object) -> None:
    with pytest.raises(InvalidInputData, match=r"host\.example cannot be found"):
        resolve("host.example", 80, NOWHERE, lookup=lookup)  # type: ignore[arg-type]


def test_the_systems_own_resolver_is_asked() -> None:
    assert resolve("127.0.0.1", 80, LOCAL) == ("127.0.0.1",)
    with pytest.raises(InvalidInputData):
        resolve("localhost", 80, NOWHERE)

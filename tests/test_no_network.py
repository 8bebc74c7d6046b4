"""The guard of conftest.py itself."""

import socket

import pytest


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_other_machines_are_out_of_reach(method):
    # 192.0.2.0/24 is reserved for documentation: nobody answers there.
    with socket.socket() as client, pytest.raises(AssertionError, match=r"192\.0\.2\.1"):
        client.settimeout(0.2)
        getattr(client, method)(("192.0.2.1", 80))


def test_loopback_is_not():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        assert client.connect_ex(server.getsockname()) == 0

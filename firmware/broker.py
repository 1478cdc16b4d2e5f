"""The connection to the MQTT broker: the one place that knows umqtt.simple, of 1.3.4 or later.

umqtt's own connect() blocks for as long as the network likes, and its wait for an answer lifts every time-out. So it
is given a connection that is there already, whose reads and writes fail after STALL_MS: a broker that takes longer to
say that it has a message is away. Longest pause of the event loop: STALL_MS for each message; for connecting, a
look-up of the host's name (none for an address) and, with TLS, the handshake: STALL_MS for each flight of it, and its
sums.
"""

import asyncio
import select
import socket
import time
from errno import EINPROGRESS, ETIMEDOUT

STALL_MS = 1000
AUTHORITY = "/mqtt_ca.der"
_LOOK_MS = 50
_KEEPALIVE_S = 60
_REFUSALS = {4: "wrong user or password", 5: "not allowed: is the password right?"}


class BrokerRefused(Exception):
    """The broker does not want us, or is not believed."""


class _Connection:
    """Stands for the module `socket` in umqtt.simple and for the one socket that it makes there.

    plain: the socket itself; stream: what is read and written, with TLS around the socket.
    """

    def __init__(self, plain, stream):
        self._plain = plain
        self._stream = stream
        self._until_ms = 0
        self.close = stream.close

    def socket(self, *kind):
        return self

    def getaddrinfo(self, host, port, *kind):
        return ((0, 0, 0, "", None),)

    def connect(self, address):
        """It is connected."""

    def settimeout(self, seconds):
        """It keeps its own."""

    setblocking = settimeout

    def write(self, *data):
        # What is written is answered by then: else a network that says anything but the answer would be heard out.
        self._until_ms = time.ticks_add(time.ticks_ms(), STALL_MS)
        self._plain.settimeout(STALL_MS / 1000)
        return self._stream.write(*data)

    def read(self, size):
        data = b""
        while len(data) < size:
            left_ms = time.ticks_diff(self._until_ms, time.ticks_ms())
            if left_ms <= 0:
                raise OSError(ETIMEDOUT)
            self._plain.settimeout(left_ms / 1000)
            byte = self._stream.read(1)
            if not byte:
                raise OSError(ETIMEDOUT)
            data += byte
        return data


async def _connected(host, port):
    """A socket, connected while the event loop goes on."""
    address = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0][-1]
    stream = socket.socket()
    try:
        stream.setblocking(False)
        try:
            stream.connect(address)
        except OSError as begun:
            if begun.errno != EINPROGRESS:
                raise
        poll = select.poll()
        poll.register(stream, select.POLLOUT)
        while not poll.poll(0):
            await asyncio.sleep_ms(_LOOK_MS)
        stream.settimeout(STALL_MS / 1000)
        return stream
    except BaseException:
        stream.close()
        raise


def _protected(stream, host):
    """TLS around the socket, with the broker's certificate proven for that name."""
    import ssl

    try:
        with open(AUTHORITY, "rb") as file:
            authority = file.read()
    except OSError:
        raise BrokerRefused("no %s: copy the authority's certificate there, as DER" % AUTHORITY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority)
    try:
        return context.wrap_socket(stream, server_hostname=host)
    except (OSError, ValueError) as unproven:
        raise BrokerRefused("the broker's certificate or its TLS is not accepted: %s" % unproven)


async def connect(wifi, client_id, will_topic, will):
    """A connected umqtt client, by the setting `wifi` (wifi.py). Raises OSError, BrokerRefused."""
    from umqtt import simple

    plain = stream = await _connected(wifi["host"], wifi["port"])
    try:
        if wifi["tls"]:
            stream = _protected(plain, wifi["host"])
        simple.socket = _Connection(plain, stream)  # pyright: ignore[reportAttributeAccessIssue]
        # As bytes: umqtt takes the number of a text's characters for that of its bytes.
        user = wifi["user"].encode() if wifi["user"] else None
        secret = (wifi["secret"] or "").encode()
        client = simple.MQTTClient(client_id, wifi["host"], wifi["port"], user, secret, _KEEPALIVE_S)
        client.set_last_will(will_topic, will, True, 1)
        client.connect()
        return client
    except simple.MQTTException as refused:
        stream.close()
        raise BrokerRefused(_REFUSALS.get(refused.args[0], "refusal %s" % refused))
    except BaseException:
        stream.close()
        raise

"""The MQTT broker: which one, in a file that only its owner can read, and a connection that says what is wrong.

The file lies in the user's configuration folder. The password may stand in it or, stronger, in the environment
variable RETROSTEP_MQTT_PASSWORD. A broker with TLS is believed only if its certificate holds, for its name too.
"""

from __future__ import annotations

import json
import os
import ssl
import stat
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from platformdirs import user_config_path

PASSWORD_VARIABLE = "RETROSTEP_MQTT_PASSWORD"
PORT, TLS_PORT = 1883, 8883
CONNECT_TIMEOUT_S = 10.0
DELIVERY_TIMEOUT_S = 30.0
_RETRY_S = 1
_OWNER_ONLY = 0o600


class BrokerError(Exception):
    """The broker can't be used: not set up, away, not believed, or it refuses."""


class BrokerNotSetUp(BrokerError):
    """There is no usable file that says which broker."""


@dataclass(frozen=True)
class BrokerSettings:
    """Where the broker is and who we are to it. ca_file: PEM, None: the computer's own list of authorities."""

    host: str
    port: int = TLS_PORT
    tls: bool = True
    ca_file: str | None = None
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"BrokerSettings({self.host}:{self.port})"


def default_path() -> Path:
    """The file with the broker's settings."""
    return user_config_path("retrostep", appauthor=False) / "mqtt.json"


def save(settings: BrokerSettings, path: Path) -> None:
    """Write the settings so that nobody else can read them, at no moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "w") as file:
        json.dump(asdict(settings), file, indent=1)
    new.replace(path)


def load(path: Path) -> BrokerSettings:
    """Read the settings; the password from the environment comes first. Raises BrokerNotSetUp."""
    try:
        text = path.read_text()
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError as error:
        raise BrokerNotSetUp(
            f"no broker is set up ({path} is not there): run `retrostep mqtt setup`"
        ) from error
    if os.name == "posix" and mode & 0o077:
        raise BrokerNotSetUp(
            f"{path} holds a password and others may read it (mode {mode:o}): run `chmod 600 {path}`"
        )
    try:
        stored = json.loads(text)
        settings = BrokerSettings(**{field.name: stored[field.name] for field in fields(BrokerSettings)})
    except (ValueError, TypeError, KeyError) as error:
        raise BrokerNotSetUp(f"{path} is damaged ({error!r}): run `retrostep mqtt setup` again") from error
    password = os.environ.get(PASSWORD_VARIABLE, settings.password)
    return BrokerSettings(**{**asdict(settings), "password": password})


class Broker:
    """A connection as one client, with a will. Context manager; raises BrokerError when it can't be made.

    client_id: a second connection of the same name ends the first. availability: the topic that says "online" while
    this connection lives and "offline" after it, however it ends.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        availability: str,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> None:
        self._settings = settings
        self._delivery_timeout_s = delivery_timeout_s
        self._taken = threading.Condition()
        self._numbers: set[int] = set()
        self._availability = availability
        self._answered = threading.Event()
        self._refused: ReasonCode | None = None
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._client.reconnect_delay_set(_RETRY_S, _RETRY_S)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.will_set(availability, "offline", qos=1, retain=True)
        if settings.user is not None:
            self._client.username_pw_set(settings.user, settings.password)
        if settings.tls:
            self._client.tls_set_context(self._tls_context())

    def _tls_context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._settings.ca_file)
        except OSError as error:
            raise BrokerError(
                f"the authority's certificate {self._settings.ca_file} can't be used ({error}): expected a PEM file; "
                "run `retrostep mqtt setup` again"
            ) from error

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: object
    ) -> None:
        self._refused = reason if reason.is_failure else None
        if not reason.is_failure:
            # After a broken connection, too: its will has said "offline" meanwhile.
            client.publish(self._availability, "online", qos=1, retain=True)
        self._answered.set()

    def __enter__(self) -> Broker:
        where = f"{self._settings.host}:{self._settings.port}"
        try:
            self._client.connect(self._settings.host, self._settings.port)
        except ssl.SSLCertVerificationError as error:
            raise BrokerError(
                f"the broker {where} is not believed: {error.verify_message}. Expected a certificate for that name "
                "from a known authority; give its certificate with `retrostep mqtt setup --ca FILE`"
            ) from error
        except ssl.SSLError as error:
            raise BrokerError(
                f"{where} does not speak TLS as expected ({error.reason}): is its port for TLS {TLS_PORT}?"
            ) from error
        except ValueError as error:
            raise BrokerError(
                f"the broker's name {self._settings.host!r} is no host name ({error}): expected one like "
                "broker.example.org, or an address; run `retrostep mqtt setup` again"
            ) from error
        except OSError as error:
            raise BrokerError(
                f"no broker answers at {where} ({error}): is it running, and are host and port right? What was not "
                "sent is sent the next time"
            ) from error
        self._client.loop_start()
        if not self._answered.wait(CONNECT_TIMEOUT_S):
            self._end()
            raise BrokerError(
                f"{where} took the connection and then said nothing: is that an MQTT broker's port?"
            )
        if self._refused is not None:
            self._end()
            raise BrokerError(
                f"the broker {where} refused user {self._settings.user!r}: {self._refused}. Check user and password "
                "(`retrostep mqtt setup`)"
            )
        return self

    def _end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __exit__(self, *exc_info: object) -> None:
        try:
            if self._client.is_connected():
                self.deliver([(self._availability, "offline", True)])
        finally:
            self._end()

    def _on_publish(
        self, client: paho.Client, userdata: object, number: int, reason: object, properties: object
    ) -> None:
        with self._taken:
            self._numbers.add(number)
            self._taken.notify()

    def deliver(self, messages: Sequence[tuple[str, str, bool]]) -> None:
        """Send (topic, payload, retain) with QoS 1, in order; all are taken when this returns. Raises BrokerError.

        A connection that breaks is made anew and what was not confirmed is sent again.
        """
        waiting = {
            self._client.publish(topic, text, qos=1, retain=retain).mid for topic, text, retain in messages
        }
        with self._taken:
            while waiting:
                if not self._numbers and not self._taken.wait(self._delivery_timeout_s):
                    raise BrokerError(
                        f"the broker {self._settings.host}:{self._settings.port} went away and was not back within "
                        f"{self._delivery_timeout_s:.0f} s: what it did not take is sent the next time"
                    )
                waiting -= self._numbers
                self._numbers.clear()

"""A real mosquitto on a free loopback port, a subscriber that writes down what comes, networks that misbehave."""

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

USER, PASSWORD = "walker", "open sesame"
_START_S = 10


def find_mosquitto():
    """Path of an installed mosquitto, or None. Debian puts it where only root's PATH looks."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificates(folder):
    """ca.pem and ca.der; broker.pem and .key for localhost, elsewhere.* for another name, wrong.* by nobody."""

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    for name in ("ca", "wrong"):
        subject = "/CN=localhost" if name == "wrong" else "/CN=Retrostep test authority"
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", subject)
    openssl("x509", "-in", "ca.pem", "-outform", "DER", "-out", "ca.der")
    for name, host in (("broker", "localhost"), ("elsewhere", "elsewhere.invalid")):
        openssl("req", *key[:-2], "-keyout", f"{name}.key", "-out", "request", "-subj", f"/CN={host}")
        (folder / "names").write_text(f"subjectAltName=DNS:{host}\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", "request", *signed, "-out", f"{name}.pem")


class Mosquitto:
    """One broker. Context manager; `folder` is for its files. certificate: a name of make_certificates, None: no TLS.

    It keeps sessions and retained messages over a restart, as an installed one does.
    """

    def __init__(self, executable, folder, certificate=None, password=False):
        self.port = free_port()
        self._command = [executable, "-c", str(folder / "mosquitto.conf")]
        self._log = folder / "mosquitto.log"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            f"log_dest file {self._log}",
            "set_tcp_nodelay true",
            # Of a root's tests: it would become a user who may not read this folder.
            "user root",
        ]
        if certificate:
            lines += [f"certfile {folder}/{certificate}.pem", f"keyfile {folder}/{certificate}.key"]
        if password:
            file = folder / "passwords"
            subprocess.run(["mosquitto_passwd", "-b", "-c", file, USER, PASSWORD], check=True, timeout=30)
            lines += [f"password_file {file}", "allow_anonymous false"]
        else:
            lines.append("allow_anonymous true")
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self._process = None

    def start(self):
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        end = time.monotonic() + _START_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                threading.Event().wait(0.02)
        raise AssertionError(
            f"mosquitto did not start: {self._log.read_text() if self._log.exists() else ''}"
        )

    def stop(self):
        """End it in good order: what it keeps is on the disk."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc_info):
        self.stop()


class Subscriber:
    """Takes everything under `topics`; its session outlives broken connections. Context manager.

    messages: (topic, payload text, came as retained) in order of arrival.
    """

    def __init__(self, port, topics="#", name="subscriber", **login):
        self.messages = []
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._topics = topics
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        if login:
            self._client.username_pw_set(login["user"], login["password"])
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)

    def _on_connect(self, client, userdata, flags, reason, properties):
        # A broker that remembers the session would send what is retained once more.
        if not flags.session_present:
            client.subscribe(self._topics, qos=1)

    def _on_message(self, client, userdata, message):
        came = (message.topic, message.payload.decode(), message.retain)
        with self._changed:
            # What a broker did not hear the acknowledgement of before it stopped, it delivers again, and says so.
            if message.dup and came in self.messages:
                return
            self.messages.append(came)
            self._changed.notify_all()

    def __enter__(self):
        self._client.loop_start()
        assert self._ready.wait(_START_S)
        return self

    def __exit__(self, *exc_info):
        self._client.disconnect()
        self._client.loop_stop()

    def wait_for(self, true, timeout_s=20):
        """Wait until true(messages); fails with what there is."""
        with self._changed:
            assert self._changed.wait_for(lambda: true(self.messages), timeout_s), self.messages[-5:]

    def of(self, ending):
        """The JSON payloads under topics with that ending, in order."""
        return [json.loads(text) for topic, text, _ in self.messages if topic.endswith(ending)]

    def ids(self):
        """The ids of everything that came from a record, in order, as often as they came."""
        return [
            json.loads(text)["id"]
            for topic, text, _ in self.messages
            if topic.startswith("retrostep/") and text.startswith("{")
        ]


class _Door:
    """A loopback port, each connection served by a thread; all of them have ended when the context ends."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = [self._listener]
        self._threads = []

    def _run(self, work, *arguments):
        thread = threading.Thread(target=self._until_broken, args=(work, *arguments), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _until_broken(self, work, *arguments):
        try:
            work(*arguments)
        except OSError:
            # The other side has gone, or this context ends.
            return

    def _accept(self):
        while True:
            device, _ = self._listener.accept()
            self._open.append(device)
            self._run(self._serve, device)

    def _serve(self, device):
        raise NotImplementedError

    def __enter__(self):
        self._run(self._accept)
        return self

    def __exit__(self, *exc_info):
        end = time.monotonic() + _START_S
        while any(thread.is_alive() for thread in self._threads):
            assert time.monotonic() < end, "a connection's thread does not end"
            for one in list(self._open):
                _wake(one)
            for thread in list(self._threads):
                thread.join(0.05)
        for one in self._open:
            one.close()


def _wake(one):
    """End what waits in accept() or recv(), which close() does not."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


class Relay(_Door):
    """Passes bytes on to a broker, so many from the device; then it takes everything and says nothing."""

    def __init__(self, port, limit_bytes):
        super().__init__()
        self._broker_port = port
        self.left_bytes = limit_bytes

    def _serve(self, device):
        broker = socket.create_connection(("127.0.0.1", self._broker_port))
        self._open.append(broker)
        self._run(self._pump, device, broker, True)
        self._run(self._pump, broker, device, False)

    def _pump(self, source, target, counted):
        while data := source.recv(4096):
            if counted:
                self.left_bytes -= len(data)
            if self.left_bytes > 0:
                target.sendall(data)
        if self.left_bytes > 0:
            _wake(target)


class CaptiveNetwork(_Door):
    """Answers whatever comes first with `answer`, and then says `babble` again and again, or nothing."""

    def __init__(self, answer=b"", babble=b""):
        super().__init__()
        self._answer = answer
        self._babble = babble

    def _serve(self, device):
        device.recv(1024)
        device.sendall(self._answer)
        while self._babble:
            device.sendall(self._babble)

"""A headless Chromium under the tests' control, by its DevTools protocol over a pipe: no port, no other package."""

import base64
import json
import os
import shutil
import subprocess
import threading

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_S = 60


def find_browser():
    """Path of an installed Chromium, or None."""
    return next(filter(None, map(shutil.which, EXECUTABLES)), None)


class Browser:
    """One browser with one page. Context manager; `profile` is a folder for what it writes.

    requests: the URL of everything that the page asked for; console: what it logged, and its errors.
    """

    def __init__(self, executable, profile):
        self._to_child, ours_out = os.pipe()
        ours_in, self._from_child = os.pipe()
        # Chromium reads its commands from descriptor 3 and answers on 4.
        script = f'exec "$0" "$@" 3<&{self._to_child} 4>&{self._from_child}'
        self._process = subprocess.Popen(
            [
                "bash",
                "-c",
                script,
                executable,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--force-prefers-reduced-motion",
                f"--user-data-dir={profile}",
                "--remote-debugging-pipe",
                "about:blank",
            ],
            pass_fds=(self._to_child, self._from_child),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(self._to_child)
        os.close(self._from_child)
        self._out = os.fdopen(ours_out, "wb", buffering=0)
        self._in = os.fdopen(ours_in, "rb", buffering=0)
        self._pending = b""
        self._number = 0
        self._session = None
        self._events = []
        self.requests = []
        self.console = []
        # A browser that answers nothing must not stop the tests for good.
        self._watchdog = threading.Timer(TIMEOUT_S, self._process.kill)
        self._watchdog.start()

    def __enter__(self):
        targets = self.ask("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        return self

    def __exit__(self, *exc_info):
        self._watchdog.cancel()
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._in.close()

    def _receive(self):
        while b"\0" not in self._pending:
            data = self._in.read(1 << 20)
            if not data:
                raise RuntimeError(f"the browser ended, or said nothing for {TIMEOUT_S} s")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\0")
        message = json.loads(line)
        method, values = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(one.get("value")) for one in values["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append(values["exceptionDetails"]["text"])
        elif method == "Log.entryAdded":
            self.console.append(values["entry"]["text"])
        return message

    def ask(self, method, **params):
        """The result of one command."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        self._out.write(json.dumps(command).encode() + b"\0")
        while True:
            message = self._receive()
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self._events.append(message.get("method"))

    def open(self, url):
        """Go to a page and wait until it is there."""
        self._events.clear()
        self.ask("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._events.append(self._receive().get("method"))

    def show(self, width=1200, height=900, scheme="light", media=""):
        """Size of the window, and what the wearer prefers: scheme light or dark; media "print" or ""."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.ask(
            "Emulation.setEmulatedMedia",
            media=media,
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def evaluate(self, script):
        """The value of a JavaScript expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def screenshot(self):
        """PNG of the whole page."""
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def pdf(self):
        """The page as it would be printed."""
        return base64.b64decode(self.ask("Page.printToPDF", preferCSSPageSize=False)["data"])

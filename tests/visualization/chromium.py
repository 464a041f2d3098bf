"""A real headless Chromium, spoken to through its debugging pipe, so that a test needs no further package."""

import json
import os
import subprocess
import time
from pathlib import Path
from types import TracebackType

import pytest

BROWSERS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-extensions "
    "--disable-background-networking --disable-component-update --window-size=1400,900 --remote-debugging-pipe"
)


def browser_path() -> str:
    """The browser, or a skip that says what is missing."""
    for path in BROWSERS:
        if Path(path).exists():
            return path
    pytest.skip(f"no Chromium at {BROWSERS[0]}: apt-get install -y chromium")


class Page:
    """One tab: opens addresses, evaluates JavaScript, and remembers every request and every complaint."""

    def __init__(self, profile: Path, timeout_s: float = 60.0) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._timeout_s, self._count, self._events, self._buffer = timeout_s, 0, [], b""
        command_read, self._write = os.pipe()
        self._read, event_write = os.pipe()
        # The browser reads commands from descriptor 3 and writes events to 4.
        shell = f"exec {browser_path()} {FLAGS} --user-data-dir={profile} 3<&{command_read} 4>&{event_write}"
        fds = (command_read, event_write)
        self._process = subprocess.Popen(["bash", "-c", shell], pass_fds=fds, stderr=subprocess.DEVNULL)
        for fd in fds:
            os.close(fd)
        os.set_blocking(self._read, False)

    def __enter__(self) -> "Page":
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._read)
        os.close(self._write)

    def _receive(self) -> dict:
        deadline = time.monotonic() + self._timeout_s
        while b"\0" not in self._buffer:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"Chromium gave no answer (exit code {self._process.poll()})")
            try:
                self._buffer += os.read(self._read, 1 << 20)
            except BlockingIOError:
                time.sleep(0.01)
        message, self._buffer = self._buffer.split(b"\0", 1)
        event = json.loads(message)
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(event["params"]["request"]["url"])
        if event.get("method") == "Log.entryAdded":
            self.complaints.append(event["params"]["entry"]["text"])
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(event["params"]["exceptionDetails"]["text"])
        return event

    def call(self, method: str, params: dict | None = None) -> dict:
        """Send a command and wait for its answer; events on the way are kept."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params or {}}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            event = self._receive()
            if event.get("id") == self._count:
                if "error" in event:
                    raise RuntimeError(f"{method}: {event['error']}")
                return event["result"]
            self._events.append(event.get("method"))

    def open(self, url: str) -> None:
        """Go to ``url`` and wait until everything it names is loaded or refused."""
        self._events.clear()
        self.call("Page.navigate", {"url": url})
        while "Page.loadEventFired" not in self._events:
            self._events.append(self._receive().get("method"))

    def evaluate(self, expression: str) -> object:
        """The value of a JavaScript expression, promises awaited."""
        params = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = self.call("Runtime.evaluate", params)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

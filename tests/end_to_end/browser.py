"""A headless Chromium, driven over two pipes by the DevTools protocol: no port, no driver to install.

https://chromedevtools.github.io/devtools-protocol: messages are JSON, each ended by a zero byte."""

import base64
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

CHROMIUM = "/usr/bin/chromium"
PATIENCE = 120  # seconds; the machine may be busy with other tests

OPTIONS = ["--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
           "--disable-extensions", "--disable-background-networking", "--disable-component-update",
           "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe"]


class BrowserError(Exception):
    """The browser, or a script in the page, failed."""


class Browser:
    """One page. `problems` are console errors and exceptions; `requests` all addresses asked for."""

    def __init__(self, width=1400, height=1000):
        if not os.path.exists(CHROMIUM):
            raise BrowserError(f"{CHROMIUM} is missing: the Debian package chromium, which `./subquad "
                               "test` installs")
        self.problems, self.requests, self._next, self._received = [], [], 0, b""
        self._loaded = False
        self._folder = tempfile.mkdtemp(prefix="subquad-browser-")
        self.downloads = pathlib.Path(self._folder, "downloads")
        from_us, self._to = os.pipe()
        self._from, to_us = os.pipe()
        # The browser reads from file 3 and writes to file 4, wherever our ends happen to be.
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec {{in}}<&{from_us} {{out}}>&{to_us}; exec 3<&$in 4>&$out '
             '{in}<&- {out}>&-; exec "$@"', "bash", CHROMIUM, *OPTIONS, f"--user-data-dir={self._folder}/profile",
             f"--window-size={width},{height}", "about:blank"],
            pass_fds=(from_us, to_us), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, env=os.environ | {"HOME": self._folder})
        os.close(from_us)
        os.close(to_us)
        self._session = None
        try:
            self._attach(width, height)
        except BaseException:
            self.close()
            raise

    def _attach(self, width, height):
        page = next(target for target in self.call("Target.getTargets")["targetInfos"]
                    if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page["targetId"],
                                  flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)
        self.downloads.mkdir()
        self.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))

    def close(self):
        for end in (self._to, self._from):
            os.close(end)
        try:
            os.killpg(self._process.pid, signal.SIGKILL)  # its own session: all of its processes
        except ProcessLookupError:
            pass
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    # ---- protocol -------------------------------------------------------------------------------

    def _message(self, deadline):
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._from], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise BrowserError(f"no answer within {PATIENCE} seconds")
            part = os.read(self._from, 1 << 20)
            if not part:
                raise BrowserError("the browser ended")
            self._received += part
        text, self._received = self._received.split(b"\0", 1)
        return json.loads(text)

    def _note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.problems.append(" ".join(str(part.get("value", part.get("description")))
                                          for part in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self._loaded = True

    def call(self, method, **params):
        """The result of a command of the protocol; what happens meanwhile is noted."""
        self._next += 1
        message = {"id": self._next, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data):]
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._message(deadline)
            if answer.get("id") != self._next:
                self._note(answer)
                continue
            if "error" in answer:
                raise BrowserError(f"{method}: {answer['error'].get('message')}")
            return answer["result"]

    def processor_seconds(self):
        """What the processes that draw pages have used."""
        session, self._session = self._session, None
        try:
            processes = self.call("SystemInfo.getProcessInfo")["processInfo"]
        finally:
            self._session = session
        return sum(process["cpuTime"] for process in processes if process["type"] == "renderer")

    # ---- what a reader does -----------------------------------------------------------------------

    def open(self, path):
        self._loaded = False
        self.call("Page.navigate", url=pathlib.Path(path).resolve().as_uri())
        deadline = time.monotonic() + PATIENCE
        while not self._loaded:
            self._note(self._message(deadline))
        self.wait_for("document.documentElement.dataset.drawn === 'yes'")

    def ask(self, expression):
        """The value of a JavaScript expression, or of its promise."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return result["result"].get("value")

    def wait_for(self, expression):
        deadline = time.monotonic() + PATIENCE
        while not self.ask(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                raise BrowserError(f"never came true: {expression}; problems: {self.problems}")
            time.sleep(0.05)

    def click_at(self, x, y):
        """A click of the mouse at a place of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def click(self, selector):
        x, y = self.ask(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{block: 'center'}});
            const box = element.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        self.click_at(x, y)

    def press(self, key):
        codes = {"Enter": 13, "Escape": 27, "Tab": 9}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key,
                  windowsVirtualKeyCode=codes[key], **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key,
                  windowsVirtualKeyCode=codes[key])

    def type(self, text):
        self.call("Input.insertText", text=text)

    def downloaded(self, name):
        """The contents of a file that the page hands over."""
        path = self.downloads / name
        deadline = time.monotonic() + PATIENCE
        while not path.exists() or list(self.downloads.glob("*.crdownload")):
            if time.monotonic() > deadline:
                raise BrowserError(f"{name} never came")
            time.sleep(0.05)
        text = path.read_text(encoding="utf-8")
        path.unlink()
        return text

    def picture(self, path, whole=True):
        """A screenshot, as PNG: for people to look at."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

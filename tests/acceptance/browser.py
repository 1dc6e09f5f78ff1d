"""A headless Chromium for tests, driven by its DevTools protocol over a WebSocket: no driver program, no further package."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.helpers import eventually

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1440,900",
)
KEYS = {"ArrowDown": 40, "ArrowUp": 38, "Enter": 13, "Tab": 9}


class Page:
    """One tab. `errors` has what the page threw, logged as an error or was forbidden to load."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.errors: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())

    async def start(self) -> None:
        """Begin to hear of errors."""
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")

    async def stop(self) -> None:
        """Hang up."""
        await self._socket.close()
        await self._reader

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif told["method"] == "Runtime.exceptionThrown":
                self.errors.append(str(told["params"]["exceptionDetails"]))
            elif told["method"] == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.errors.append(str(told["params"]["entry"]))

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command of the protocol; its result."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        told = await self._answers[number]
        assert "error" not in told, f"{method}: {told['error']}"
        result: dict[str, Any] = told["result"]
        return result

    async def open(self, url: str) -> None:
        """Go there and wait until it is loaded."""
        await self.call("Page.navigate", url=url)
        await eventually(lambda: self.run(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'"))

    async def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, promises awaited."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def click(self, selector: str) -> None:
        """A click with the mouse in the middle of the first element that matches; it must be what is on top there."""
        x, y, hit = await self.run(
            f"""(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'nearest'}});
            const b = e.getBoundingClientRect(), x = b.x + b.width / 2, y = b.y + b.height / 2;
            return [x, y, e.contains(document.elementFromPoint(x, y))]; }})()"""
        )
        assert hit, f"{selector} is covered by something else"
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, key: str) -> None:
        """A named key (KEYS), or one character."""
        code = {"windowsVirtualKeyCode": KEYS[key]} if key in KEYS else {"text": key}
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **code)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def type(self, text: str) -> None:
        """Text into what has the focus."""
        await self.call("Input.insertText", text=text)


@asynccontextmanager
async def browsing(program: str, profile: Path) -> AsyncIterator[Page]:
    """A tab of a fresh browser, whose profile is in `profile`; the browser ends with the block."""
    process = await asyncio.create_subprocess_exec(
        program,
        *FLAGS,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port_file = profile / "DevToolsActivePort"
        port = await eventually(lambda: port_file.exists() and port_file.read_text().split("\n")[0], 30)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                tab = next(found for found in await answer.json() if found["type"] == "page")
            socket = await session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0)
            page = Page(socket)
            await page.start()
            try:
                yield page
            finally:
                await page.stop()
    finally:
        process.terminate()
        await process.wait()

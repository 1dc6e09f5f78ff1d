"""The fences of the code base as a pure function: source text in, violations out. Reads no file; test_layout.py walks them.

Two lists: which room may import which (RANK), and which drivers stay behind which doors (DOORS, CALLS). To allow something
new, change a list here and say why in ARCHITECTURE.md.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

# Import down, never sideways: a room may import rooms of a lower rank, and itself.
RANK = {
    "fastpath": 0,
    "tidings.v1": 0,
    "core": 1,
    "ledger": 2,
    "gateway": 3,
    "dispatcher": 3,
    "senders": 3,
    "tidings": 4,
    "bench": 5,
    "tests": 6,
}
TESTS = ("tests",)
SANDBOX = "tidings.sandbox"

# Module (with all below it) -> where it may be imported. A place is a module path; everything below it is meant too.
DOORS: dict[str, tuple[str, ...]] = {
    "redis": ("core", "bench.fastpath", "bench.peers"),  # it is what they are measured against
    "valkey": ("core",),
    "psycopg": ("ledger",),
    "psycopg_pool": ("ledger",),
    "prometheus_client": ("core", *TESTS),
    "opentelemetry.sdk": ("core", *TESTS),
    "opentelemetry.exporter": ("core", *TESTS),
    "pydantic_settings": ("core",),
    "aiohttp.web": ("gateway", SANDBOX, *TESTS),
    "aiosmtpd": (SANDBOX, *TESTS),
    "http.server": (),
    "aiohttp": ("senders", SANDBOX, "bench.rivals", *TESTS),  # anything of it but aiohttp.web is the client
    "aiosmtplib": ("senders", "bench.rivals", *TESTS),
    "httpx": ("senders", "bench.rivals", *TESTS),
    "requests": ("senders",),
    "smtplib": TESTS,
    "http.client": TESTS,
    "urllib.request": TESTS,
    "google.auth.transport": ("senders", *TESTS),
    "asyncio": ("core", "ledger", "gateway", "dispatcher", "senders", "tidings", "bench", *TESTS),  # fastpath does no I/O
    "socket": ("core", "ledger", "gateway", "dispatcher", "senders", "tidings", "bench", *TESTS),
}
# Names that may be used only there, however they were imported.
CALLS: dict[str, tuple[str, ...]] = {
    "os.environ": ("core.config", *TESTS),
    "os.environb": (),
    "os.getenv": ("core.config",),
    "os.putenv": (),
    "grpc.server": ("gateway", SANDBOX, *TESTS),
    "grpc.aio.server": ("gateway", SANDBOX, "bench.echo", *TESTS),
}
KEYS_MODULES = ("core.keys", "tests.unit.core.test_keys", "tests.test_layout", "tests.layout")
KEY_LITERAL = re.compile(r"(?<![/\w])tidings:(?=[\w{]|$)|\{p(?=\d|\{|\}|$)")
PYX_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+(?:\s*,\s*[\w.]+)*))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that stands where it may not."""

    where: str  # module:line
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def room_of(module: str) -> str | None:
    """The room a module belongs to; None if it is none of ours."""
    if module == "tidings.v1" or module.startswith("tidings.v1."):
        return "tidings.v1"
    top = module.partition(".")[0]
    return top if top in RANK else None


def _within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def check_import(module: str, imported: str) -> str | None:
    """What is wrong with `module` importing `imported` (a dotted path); None if nothing."""
    target, source = room_of(imported), room_of(module)
    if target and source and target != source and RANK[target] >= RANK[source]:
        return f"{source} may not import {target} ({imported})"
    doors = [door for door in DOORS if _within(imported, (door,))]
    if doors:
        door = max(doors, key=len)
        if not _within(module, DOORS[door]):
            return f"{imported} may be imported only in {', '.join(DOORS[door]) or 'no room'}"
    return None


def check_python(module: str, text: str) -> list[Violation]:
    """All violations in the source text of a module, e.g. "senders.email", or of a package, "senders.__init__"."""
    nodes = list(ast.walk(ast.parse(text)))
    found: list[tuple[int, str]] = []
    names: dict[str, str] = {}  # local name -> dotted path
    for node in nodes:
        for path, local in _imports(module, node):
            names[local] = path
            complaint = None if path == "aiohttp" else check_import(module, path)
            found += [(node.lineno, complaint)] if complaint else []  # type: ignore[attr-defined]
            found += [(node.lineno, c) for c in _check_use(module, path)]  # type: ignore[attr-defined]
    for node in nodes:
        if isinstance(node, ast.Attribute) and (used := _dotted(node, names)):
            found += [(node.lineno, c) for c in _check_use(module, used)]
            if used.startswith("aiohttp.") and (complaint := check_import(module, used)):
                found.append((node.lineno, complaint))
    if not _within(module, KEYS_MODULES):
        found += [(line, "a Redis key literal belongs in core/keys.py") for line in _key_literals(nodes)]
    return sorted({Violation(f"{module}:{line}", what) for line, what in found}, key=str)


def check_cython(module: str, text: str) -> list[Violation]:
    """All violations in the text of a .pyx or .pxd, by its import lines and literals."""
    found = []
    for match in PYX_IMPORT.finditer(text):
        for path in (match[1] or match[2]).replace(" ", "").split(","):
            complaint = check_import(module, path) if not path.startswith(".") else None
            found += [Violation(f"{module}:{text.count(chr(10), 0, match.start()) + 1}", complaint)] if complaint else []
    return found + check_text(module, text)


def check_text(module: str, text: str) -> list[Violation]:
    """Key literals in a text that is not Python (.pyx, .lua, .sql)."""
    lines = enumerate(text.splitlines(), 1)
    return [
        Violation(f"{module}:{number}", "a Redis key literal belongs in core/keys.py")
        for number, line in lines
        if re.search(r"""["'][^"']*tidings:[\w{]""", line)
    ]


def _check_use(module: str, path: str) -> list[str]:
    return [
        f"{name} may be used only in {', '.join(at) or 'no room'}"
        for name, at in CALLS.items()
        if path == name and not _within(module, at)
    ]


def _imports(module: str, node: ast.AST) -> Iterator[tuple[str, str]]:
    """(dotted path, local name) of everything that an import statement brings in."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, ast.ImportFrom):
        package = module.split(".")[: -node.level] if node.level else []
        base = ".".join([*package, *([node.module] if node.module else [])])
        for alias in node.names:
            yield f"{base}.{alias.name}", alias.asname or alias.name


def _dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    """The dotted path of `a.b.c` if `a` was imported."""
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value, names)
        return f"{inner}.{node.attr}" if inner else None
    return names.get(node.id) if isinstance(node, ast.Name) else None


def _key_literals(nodes: list[ast.AST]) -> Iterator[int]:
    """Lines of string constants that look like a Redis key; docstrings do not count."""
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    for node in nodes:
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings and KEY_LITERAL.search(text):
                yield node.lineno

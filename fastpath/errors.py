"""What the fastpath raises, shared by the native modules and their twins. Plain ValueErrors: fastpath imports no other room."""


class FrameError(ValueError):
    """Bytes that are no frame, record or packed content: damaged, cut off, or written by another version."""


class TemplateInvalid(ValueError):
    """A template that cannot be compiled. `line` counts from 1 in its source; `part` is the part it belongs to (0: none)."""

    def __init__(self, message: str, line: int = 1, part: int = 0) -> None:
        super().__init__(f"line {line}: {message}")
        self.message = message
        self.line = line
        self.part = part


class RenderFailed(ValueError):
    """A template that cannot be rendered with this data: a wrong type, or a limit of the sandbox."""


class VariableMissing(RenderFailed):
    """The data lacks a variable that the template prints or asks about. `name` is its path, such as `order.total`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"variable {name!r} is missing")
        self.name = name

"""Options that several commands share, declared once as the fields of a dataclass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, get_type_hints


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command for typer with the fields of its parameter `options` in that one's place.

    `options` is annotated with a dataclass whose fields are annotated as typer's options are.
    """
    hints = get_type_hints(command, include_extras=True)
    shared = hints.pop("options")
    hints |= get_type_hints(shared, include_extras=True)
    defaults = {field.name: field.default for field in fields(shared)}
    own = inspect.signature(command).parameters
    names = [
        name for parameter in own for name in (defaults if parameter == "options" else [parameter])
    ]
    defaults |= {name: parameter.default for name, parameter in own.items() if name != "options"}

    def run(**given: Any) -> None:
        options = shared(**{field.name: given.pop(field.name) for field in fields(shared)})
        command(**given, options=options)

    empty = inspect.Parameter.empty
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=empty if defaults[name] is MISSING else defaults[name],
                annotation=hints[name],
            )
            for name in names
        ]
    )
    run.__annotations__ = {name: hints[name] for name in names}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run

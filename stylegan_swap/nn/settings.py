"""Settings of networks: the numbers that rebuild one, as ``config.json`` beside its weights holds them.

Checked by pydantic when they are made; what is wrong is told in one line that names the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from typing_extensions import Self


class NetworkSettings(BaseModel):
    """Base of all configurations: immutable, without unknown keys, of exact types.

    Attributes:
        method: whose network it is, stored with the numbers; empty: the default's.
        size: image side S in pixels.

    Raises:
        ValueError: a value does not fit or a key is unknown; one line that names it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    method: ClassVar[str] = ""
    #: Values that differ from the defaults, by the preset's name.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    size: PositiveInt = 256

    def __init__(self, **values: Any) -> None:
        # JSON and YAML have no tuples.
        plain = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        try:
            super().__init__(**plain)
        except ValidationError as error:
            raise ValueError(_in_one_line(error, sorted(type(self).model_fields))) from None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the method's name where there is one."""
        return ({"method": self.method} if self.method else {}) | self.model_dump()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote; absent keys take their defaults.

        Raises:
            ValueError: it is another method's, a key is unknown or a value does not fit.
        """
        settings = dict(values)
        method = settings.pop("method", cls.method) if cls.method else cls.method
        if method != cls.method:
            raise ValueError(f"these are weights of the method {method!r}, not of {cls.method!r}.")
        return cls(**settings)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """One of ``presets``, with changes.

        Raises:
            ValueError: there is no such preset, or a change does not fit.
        """
        if name not in cls.presets:
            raise ValueError(f"There is no network preset {name!r}; there are: {', '.join(cls.presets)}.")
        return cls(**{**cls.presets[name], **changes})

    def changed(self, **changes: Any) -> Self:
        """The same with other values, checked; raises ValueError."""
        return type(self)(**{**self.model_dump(), **changes})


def _in_one_line(error: ValidationError, keys: list[str]) -> str:
    problem = error.errors()[0]
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        unknown = [str(each["loc"][0]) for each in error.errors() if each["type"] == problem["type"]]
        return f"unknown configuration keys {unknown}; known: {keys}."
    reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    # A check of several values together names them itself.
    return f"{name} should {reason}, got {problem['input']!r}." if name else reason

"""What the sections of `params.yaml` are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from sagan.errors import did_you_mean

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Rate = Annotated[float, Field(gt=0, le=1)]
Fraction = Literal["1/2", "1/4", "1/8", "1/16", "1/32"]
Place = Annotated[
    Positive | Fraction, Field(description='a feature map\'s side in pixels, or a fraction such as "1/2"')
]
# Channels and dimensions: more than any network has, less than what fills a machine's memory by a slip of the finger.
Width = Annotated[int, Field(gt=0, le=2**14)]
Repeats = Annotated[int, Field(gt=0, le=1000)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Resolution = Literal[28, 32, 64, 128]


class Strict(BaseModel):
    """Unknown keys are errors, and a string is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, given: Any) -> Any:
        for key in given if isinstance(given, dict) else ():
            if key not in cls.model_fields:
                raise refused(f"unknown key{did_you_mean(str(key), cls.model_fields)}", key, kind="unknown_key")
        return given


def difference_of(model: type[Strict]) -> type[Strict]:
    """The type of a difference to a model: the same keys and values, none of them required."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Strict):
            kind = difference_of(kind)
        fields[name] = (Annotated[kind, *field.metadata, Field(description=field.description)], None)
    return create_model(f"{model.__name__}Difference", __base__=Strict, __doc__=model.__doc__, **fields)


def refused(message: str, *at: str, kind: str = "refused") -> PydanticCustomError:
    """What a validator raises: the message stands behind the key `at` below the validator's place, and its value."""
    return PydanticCustomError(kind, "{message}", {"message": message, "at": at})


def _distinct(entries: Sequence) -> Sequence:
    for entry in entries:
        if entries.count(entry) > 1:
            raise refused(f"must not repeat an entry, and has {entry!r} {entries.count(entry)} times")
    return entries


# For the type of a list.
Distinct = AfterValidator(_distinct)

"""What the sections of `params.yaml` are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
NotNegativeFloat = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, le=1)]
Fraction = Annotated[str, Field(pattern=r"^1/(2|4|8|16|32)$")]
Place = Annotated[
    Positive | Fraction, Field(description='a feature map\'s side in pixels, or a fraction such as "1/2"')
]
Resolution = Literal[28, 32, 64, 128]


class Strict(BaseModel):
    """Unknown keys are errors, and a string is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

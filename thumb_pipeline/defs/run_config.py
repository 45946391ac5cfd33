"""The base of all config classes: it accepts plain values only, and no references to environment variables.

Dagster's own `Config` accepts `{"env": NAME}` for any text, number or switch, and replaces it by that environment
variable of the server. Anybody who may launch a run could read a password that way, in the text of a refusal. So the
classes here are plain pydantic models, and the schema for Dagster is derived from their fields.
"""

from types import NoneType, UnionType
from typing import Any, Self, Union, get_args, get_origin

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from thumb_pipeline.defs.runs.failures import refusal

_PLAIN = (bool, int, float, str)


class RunConfig(BaseModel):
    """What a person may set when launching a run; ops use `config_schema=X.as_field()` and `X.of(context)`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def as_field(cls) -> dg.Field:
        """The schema that Dagster checks when a run is launched, and shows with descriptions and defaults."""
        return dg.Field({name: _as_field(field) for name, field in cls.model_fields.items()}, description=cls.__doc__)

    @classmethod
    def of(cls, context: dg.OpExecutionContext | dg.AssetExecutionContext) -> Self:
        """Reads the config of this run.

        Raises:
            dagster.Failure: a value is out of its bounds.
        """
        own = context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context
        try:
            return cls(**own.op_config)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise refusal(f"the config of this run cannot be used: {faults}") from None


def _as_field(field: FieldInfo) -> dg.Field:
    kind = plain_type(field.annotation)
    if field.is_required():
        return dg.Field(kind, description=field.description)
    return dg.Field(kind, description=field.description, default_value=field.get_default())


def plain_type(annotation: Any) -> Any:
    """The Dagster type for a field's annotation; it accepts plain values only.

    Raises:
        TypeError: no config type is known for it.
    """
    if annotation in _PLAIN:
        return annotation
    arguments = get_args(annotation)
    if get_origin(annotation) is list:
        return dg.Array(plain_type(arguments[0]))
    if get_origin(annotation) in (Union, UnionType) and len(arguments) == 2 and NoneType in arguments:
        return dg.Noneable(plain_type(next(one for one in arguments if one is not NoneType)))
    raise TypeError(f"{annotation} cannot be a field of a run's config")

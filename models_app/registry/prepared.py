"""Queries whose SQL is made once per process: what clients ask thousands of times a second costs only the asking.

OF_NAME = Prepared(lambda name: RegisteredModel.objects.filter(name=name).values_list("id"), str)
OF_NAME("fraud")  →  [(17,)]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models import AutoField, Model, QuerySet
from django.db.models.query import RelatedPopulator, get_related_populators
from django.db.models.sql import InsertQuery, UpdateQuery
from django.db.models.sql.compiler import SQLCompiler

# Values that no query has as a constant; where they come out is a place for a value.
_TEXT = "\ue000value {}\ue000"
_NUMBER = 2_011_733_000

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Compiled:
    sql: str
    params: tuple[Any, ...]
    # Index into params → which value goes there.
    places: tuple[tuple[int, int], ...]
    converters: tuple[tuple[int, Callable[[Any], Any]], ...]
    # What the ORM makes of a row, unless the build asks for tuples.
    shape: _Shape | None


@dataclass(frozen=True, slots=True)
class _Shape:
    model: type[Model]
    columns: slice
    names: list[str]
    related: list[RelatedPopulator]

    @classmethod
    def of(cls, compiler: SQLCompiler) -> _Shape | None:
        """Of a query that was compiled."""
        info = compiler.klass_info
        # A query of tuples may have it, too.
        if info is None or not compiler.query.default_cols:
            return None
        columns = slice(info["select_fields"][0], info["select_fields"][-1] + 1)
        names = [column.target.attname for column, _, _ in compiler.select[columns]]
        related = get_related_populators(info, compiler.select, DEFAULT_DB_ALIAS)  # type: ignore[call-arg]
        return cls(info["model"], columns, names, related)

    def instance(self, row: Row) -> Any:
        instance = self.model.from_db(DEFAULT_DB_ALIAS, self.names, row[self.columns])
        for populator in self.related:
            populator.populate(row, instance)
        return instance


class Prepared:
    """The rows, as tuples, of a queryset in which only texts and whole numbers vary: its build gets placeholders.

    What else the build does must not depend on them, on the time or on the caller.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Any]], *kinds: type) -> None:
        self._build = build
        self._stand_ins = [_TEXT.format(n) if kind is str else _NUMBER + n for n, kind in enumerate(kinds)]
        self._of_vendor: dict[str, _Compiled] = {}

    def __call__(self, *values: str | int) -> list[Row]:
        """The rows for these values, in the order of the placeholders."""
        compiled = self.compiled()
        params = list(compiled.params)
        for place, value in compiled.places:
            params[place] = values[value]
        with connection.cursor() as cursor:
            cursor.execute(compiled.sql, params)
            rows: list[Row] = cursor.fetchall()
        return [_converted(row, compiled.converters) for row in rows] if compiled.converters else rows

    def compiled(self) -> _Compiled:
        """For the database at hand."""
        return self._of_vendor.get(connection.vendor) or self._compile()

    def _compile(self) -> _Compiled:
        compiler = self._build(*self._stand_ins).query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
        places = tuple(
            (place, self._stand_ins.index(param))
            for place, param in enumerate(params)
            if param in self._stand_ins
        )
        if {value for _, value in places} != set(range(len(self._stand_ins))):
            raise ValueError("A placeholder does not come out as it went in.")
        columns = [expression for expression, _, _ in compiler.select]
        converters = tuple(
            (position, _chain(functions, expression))
            for position, (functions, expression) in compiler.get_converters(columns).items()
        )
        # Nothing of the compiler stays: it has the connection of this thread, which would never be closed then.
        compiled = _Compiled(sql, tuple(params), places, converters, _Shape.of(compiler))
        self._of_vendor[connection.vendor] = compiled
        return compiled


def _chain(functions: list[Callable[..., Any]], expression: Any) -> Callable[[Any], Any]:
    unbound = [_unbound(function) for function in functions]

    def convert(value: Any) -> Any:
        for function in unbound:
            value = function(value, expression, connection)
        return value

    return convert


def _unbound(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same without the connection that it is bound to, if it is: that at hand instead."""
    if not isinstance(getattr(function, "__self__", None), BaseDatabaseOperations):
        return function
    name = function.__name__
    return lambda value, expression, connection: getattr(connection.ops, name)(value, expression, connection)


def _converted(row: Row, converters: tuple[tuple[int, Callable[[Any], Any]], ...]) -> Row:
    values = list(row)
    for position, convert in converters:
        values[position] = convert(values[position])
    return tuple(values)


Instance = TypeVar("Instance", bound=Model)


class PreparedInstances(Generic[Instance]):
    """The same for whole rows as instances, with those that `select_related` names."""

    def __init__(self, build: Callable[..., QuerySet[Instance]], *kinds: type) -> None:
        self._rows = Prepared(build, *kinds)

    def __call__(self, *values: str | int) -> list[Instance]:
        rows, shape = self._rows(*values), self._rows.compiled().shape
        if shape is None:
            raise TypeError("The build asks for tuples.")
        return [shape.instance(row) for row in rows]

    def one(self, *values: str | int) -> Instance | None:
        """The only one for these values, or None."""
        return next(iter(self(*values)), None)


_inserts: dict[tuple[str, type[Model]], str] = {}
_updates: dict[tuple[str, type[Model], tuple[str, ...], tuple[bool, ...]], str] = {}


def insert(row: Instance) -> Instance:
    """Write a new row as `save(force_insert=True)` would, but for signals; its values must be values."""
    fields = [field for field in row._meta.concrete_fields if not isinstance(field, AutoField)]
    key = (connection.vendor, type(row))
    sql = _inserts.get(key)
    if sql is None:
        query = InsertQuery(type(row))
        query.insert_values(fields, [row])
        compiler = query.get_compiler(connection=connection)
        compiler.returning_fields = row._meta.db_returning_fields
        ((sql, _),) = compiler.as_sql()
        _inserts[key] = sql
    params = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        if row.pk is None:
            (row.pk,) = cursor.fetchone()
    row._state.adding = False
    row._state.db = DEFAULT_DB_ALIAS
    return row


def update(row: Model, *names: str) -> None:
    """Write these columns of a row that is there, as `save(update_fields=names)` would, but for signals."""
    fields: list[Any] = [row._meta.get_field(name) for name in names]
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
    empty = tuple(value is None for value in values)
    key = (connection.vendor, type(row), names, empty)
    sql = _updates.get(key)
    if sql is None:
        query: Any = type(row)._base_manager.filter(pk=row.pk).query.chain(UpdateQuery)
        query.add_update_fields([(field, None, getattr(row, field.attname)) for field in fields])
        sql, _ = query.get_compiler(connection=connection).as_sql()
        _updates[key] = sql
    with connection.cursor() as cursor:
        cursor.execute(sql, [*(value for value in values if value is not None), row.pk])

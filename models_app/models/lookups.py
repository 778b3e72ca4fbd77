"""SQL's LIKE with `%` and `_` as wildcards, as foreign filter languages have it: `name__like`, `name__ilike`."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, Lookup, TextField

_GLOB = str.maketrans({"[": "[[]", "*": "[*]", "?": "[?]", "%": "*", "_": "?"})


class Like(Lookup):
    """Case-sensitive, no escape character. SQLite's own LIKE ignores case, its GLOB does not."""

    lookup_name = "like"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        # Without an escape character a backslash is just a backslash.
        return f"{left} LIKE %s ESCAPE ''", (*params, self.rhs)

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        return f"{left} GLOB %s", (*params, str(self.rhs).translate(_GLOB))


class ILike(Lookup):
    """The same without case."""

    lookup_name = "ilike"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        return f"{left} ILIKE %s ESCAPE ''", (*params, self.rhs)

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, params = self.process_lhs(compiler, connection)
        return f"{left} LIKE %s", (*params, self.rhs)


for field in (CharField, TextField):
    field.register_lookup(Like)
    field.register_lookup(ILike)

"""What a condition of a search may be: one expression over the library's columns, whoever wrote it.

Enters: the text behind `--where`. Leaves: nothing, or a `UserError`. The text is parsed by DuckDB inside the one SELECT it is
meant for; the syntax tree must be that SELECT's with nothing changed but the condition, and the condition must be made of
columns, values, operators and the functions below. So neither a subquery nor a second statement nor a function that reads
anything passes.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from preprocessing.errors import UserError

if TYPE_CHECKING:
    import duckdb

LONGEST = 10_000
"""Characters of a condition."""

CLASSES = frozenset({"COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "BETWEEN", "CAST", "FUNCTION"})
"""Kinds of expression that a condition is made of, in DuckDB's names."""
_TEXT = [
    "lower",
    "upper",
    "contains",
    "starts_with",
    "ends_with",
    "prefix",
    "suffix",
    "length",
    "len",
    "regexp_matches",
    "strip_accents",
    "trim",
]
_NUMBERS = ["abs", "round", "floor", "ceil", "sqrt", "ln", "exp", "greatest", "least"]
_LISTS = ["list_contains", "list_has", "array_extract", "list_extract", "list_element", "struct_extract", "list_max", "list_min"]
FUNCTIONS = frozenset([*_TEXT, *_NUMBERS, *_LISTS])
_SIGNS = ["+", "-", "*", "/", "//", "%", "||", "~~", "!~~", "~~*", "!~~*", "~~~", "regexp_full_match", "list_value"]
_ESCAPED = ["like_escape", "not_like_escape", "ilike_escape", "not_ilike_escape"]
_OPERATORS = frozenset([*_SIGNS, *_ESCAPED])
"""How DuckDB writes operators (`like` is `~~`) and lists."""


def check_condition(connection: "duckdb.DuckDBPyConnection", where: str) -> None:
    """Raise `UserError` unless a condition is one expression over columns that may be asked.

    Args:
        connection: parses it; nothing is run but the parser.
        where: the condition.
    """
    if not where.strip():
        raise UserError("--where: is empty; expected a condition such as \"emotion = 'smile'\"")
    if len(where) > LONGEST or "\0" in where:
        raise UserError(f"--where: is {len(where)} characters long or holds a NUL; at most {LONGEST} are read")
    tree, plain = _parsed(connection, where), _parsed(connection, "true")
    condition = tree.pop("where_clause", None)
    plain.pop("where_clause")
    if _bare(tree) != _bare(plain) or condition is None:
        raise UserError(f"--where {where!r}: expected one condition, without any other part of a statement")
    for part in _expressions(condition):
        _check_part(part, where)


def _parsed(connection: "duckdb.DuckDBPyConnection", where: str) -> dict[str, Any]:
    """The syntax tree of the one SELECT that a condition makes."""
    statement = f"SELECT 1 FROM library WHERE (\n{where}\n)"
    try:
        packed = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [statement]).fetchone()
    except duck_errors() as error:
        raise UserError(f"--where {where!r}: {one_line(error)}") from None
    found: dict[str, Any] = json.loads(packed[0]) if packed else {"error": True}
    if found["error"]:
        raise UserError(f"--where {where!r}: {one_line(found.get('error_message', 'cannot be read'))}")
    if len(found["statements"]) != 1:
        raise UserError(f"--where {where!r}: expected one condition, not several statements")
    tree: dict[str, Any] = found["statements"][0]["node"]
    return tree


def _check_part(part: dict[str, Any], where: str) -> None:
    kind = part["class"]
    if kind not in CLASSES:
        raise UserError(f"--where {where!r}: {kind.lower()} is not for conditions; compare columns with values")
    if kind == "FUNCTION":
        name = part["function_name"]
        if name not in _OPERATORS and name not in FUNCTIONS:
            raise UserError(
                f"--where {where!r}: the function {name!r} is not for conditions; there are {', '.join(sorted(FUNCTIONS))}"
            )


def _expressions(tree: Any) -> Iterator[dict[str, Any]]:
    """Every expression in a syntax tree."""
    if isinstance(tree, dict):
        if "class" in tree:
            yield tree
        for value in tree.values():
            yield from _expressions(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _expressions(value)


def _bare(tree: Any) -> Any:
    """A syntax tree without the places of its parts in the text."""
    if isinstance(tree, dict):
        return {key: _bare(value) for key, value in tree.items() if not key.startswith("query_location")}
    return [_bare(value) for value in tree] if isinstance(tree, list) else tree


def duck_errors() -> tuple[type[BaseException], ...]:
    """What DuckDB raises."""
    import duckdb

    return (duckdb.Error, RuntimeError)


def one_line(error: object) -> str:
    """What DuckDB has to say, without the repetition of the statement."""
    return " ".join(str(error).split("\n\n")[0].split("LINE 1")[0].split())[:300]

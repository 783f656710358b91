"""Functions of the standard library as a code benchmark: signature and docstring ask, the body answers."""

import ast
import hashlib
import keyword
import random
from collections.abc import Iterator

from bench.corpora import Item, library_sources

LEAST_GRAMS = 16
"""Grams below which a program has no code view (`programs.LEAST_GRAMS`)."""

LEAST_BODY = 60
"""Characters of a body without docstring; shorter functions are one idiom each."""


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Documented functions of some substance, each distinct body once."""
    seen: set[str] = set()
    for path, tree in library_sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) and len(node.body) > 1:
                body = ast.unparse(ast.Module(node.body[1:], []))
                if len(body) >= LEAST_BODY and body not in seen:
                    seen.add(body)
                    yield f"{path}:{node.lineno}:{node.name}", node


def in_benchmark(name: str) -> bool:
    """Whether a module gives items or negatives; functions of one module are often near copies of each other."""
    return hashlib.sha256(name.split(":")[0].encode()).digest()[0] % 4 == 0


def items(found: list[tuple[str, ast.FunctionDef]]) -> list[Item]:
    """As HumanEval has them: the prompt is signature and docstring, the answer is the rest."""
    made: list[Item] = []
    for name, node in found:
        source = ast.unparse(node)
        body = "".join(f"    {line}\n" for line in ast.unparse(ast.Module(node.body[1:], [])).splitlines())
        made.append(
            {
                "item_id": name,
                "passage": None,
                "choices": [],
                "answer": body,
                "question": source[: len(source) - len(body)],
            }
        )
    return made


def bare(node: ast.FunctionDef) -> str:
    """The function without its docstring: what is left of an item in a repository that copied the solution."""
    return ast.unparse(_copy(node, {}))


def renamed(node: ast.FunctionDef, rng: random.Random) -> str:
    """Without docstring, and every argument and local variable, and the function itself, under another name."""
    local = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
    local |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    local -= {"self", "cls", *keyword.kwlist}
    names = {
        name: f"{rng.choice(('tmp', 'val', 'item', 'aux', 'res', 'cur'))}_{k}" for k, name in enumerate(sorted(local))
    }
    return ast.unparse(_copy(node, {**names, node.name: "solve"}))


def _copy(node: ast.FunctionDef, names: dict[str, str]) -> ast.FunctionDef:
    made = ast.parse(ast.unparse(node)).body[0]
    assert isinstance(made, ast.FunctionDef)
    made.body = made.body[1:]
    made.name = names.get(made.name, made.name)
    for part in ast.walk(made):
        if isinstance(part, ast.Name):
            part.id = names.get(part.id, part.id)
        elif isinstance(part, ast.arg):
            part.arg = names.get(part.arg, part.arg)
    return made

"""Plate: a small template engine that reports its events to rmon, so that tools for Python see templates as code.

A template is read line by line. A line that is one tag says what happens to the lines below it:

    {% if order.paid %}      {% else %}      {% end %}
    {% if not order.paid %}
    {% for item in order.items %}            {% end %}
    {% include item.html %}

All other lines are text, in which {{ item.name }} stands for a value, with HTML's special characters escaped. What is
{# like this #} is a comment, on lines of both kinds.

Every template has a look-alike of a code object (rmon.CodeLike) and is a scope (rmon.Scope) while it is rendered. The
events cost next to nothing while no tool wants them.
"""

from __future__ import annotations

import html
import os
import re
from typing import Any, Iterator, List, Mapping, NamedTuple, Optional, Set

import rmon

E = rmon.monitoring.events
EVENTS = (E.PY_START, E.LINE, E.RAISE, E.PY_UNWIND, E.PY_RETURN)

TAG = re.compile(r"\s*{%\s*(if not|if|else|end|for|include)\b\s*(.*?)\s*%}\s*")
COMMENT = re.compile(r"\s*{#.*?#}")
VALUE = re.compile(r"{{\s*(.*?)\s*}}")
LOOP = re.compile(r"(\w+)\s+in\s+(\S+)")


class TemplateError(Exception):
    """A template that is wrong, or that asks for a value that is not there."""


class Node(NamedTuple):
    """What a line of a template does."""

    line: int
    kind: str  # "text" or the word of the tag
    rest: str  # the text, or what follows the word
    body: List[Any]  # of "if" and "for": the nodes below
    otherwise: List[Any]  # of "if": the nodes below "else"


class Template:
    """A template file, ready to be rendered. It can include files of its own folder."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        with open(path, encoding="utf-8") as file:
            self.text = file.read().splitlines()
        lines = iter(enumerate(self.text, 1))
        self.nodes = self.parse(lines, None)
        # The offsets of its events are twice the numbers of lines.
        table = [(2 * number, number) for number in range(1, len(self.text) + 1)]
        self.code = rmon.CodeLike(os.path.basename(path), self.path, lines=table)
        self.included: dict[str, Template] = {}

    # Reading

    def parse(self, lines: Iterator[Any], block: Optional[Node]) -> List[Node]:
        """The nodes up to the end of a block, or with None of the file."""
        nodes: List[Node] = []
        into = nodes
        for number, whole in lines:
            line = COMMENT.sub("", whole)
            if not line and whole:
                continue
            tag = TAG.fullmatch(line)
            kind, rest = tag.groups() if tag else ("text", line)
            node = Node(number, kind, rest, [], [])
            if node.kind == "end" and block is not None:
                return nodes
            if node.kind == "else" and block is not None and block.kind.startswith("if") and into is nodes:
                into = block.otherwise
                continue
            if node.kind in ("end", "else") or (tag is None and line.strip().startswith("{%")):
                raise TemplateError(f"{self.path}:{number}: this cannot stand here: {line.strip()}")
            if node.kind == "for" and not LOOP.fullmatch(node.rest):
                raise TemplateError(f"{self.path}:{number}: it does not say what to loop over: {line.strip()}")
            if node.kind in ("if", "if not", "for"):
                node.body.extend(self.parse(lines, node))
            into.append(node)
        if block is not None:
            raise TemplateError(f"{self.path}:{block.line}: {{% end %}} is missing")
        return nodes

    def executable_lines(self) -> Set[int]:
        """The numbers of the lines that do something, whose events are reported."""

        def walk(nodes: List[Node]) -> Iterator[int]:
            for node in nodes:
                if not is_blank(node):
                    yield node.line
                yield from walk(node.body)
                yield from walk(node.otherwise)

        return set(walk(self.nodes))

    # Rendering

    def render(self, values: Mapping[str, Any]) -> str:
        output: List[str] = []
        with rmon.Scope(self.code, *EVENTS) as scope:
            scope.py_start(0)
            try:
                self.run(self.nodes, values, output, scope)
            except Exception as error:
                scope.py_unwind(0, error)
                raise
            text = "".join(output)
            scope.py_return(2 * len(self.text), text)
        return text

    def run(self, nodes: List[Node], values: Mapping[str, Any], output: List[str], scope: rmon.Scope) -> None:
        for node in nodes:
            if not is_blank(node):
                scope.line(node.line, 2 * node.line)
            if node.kind == "text":
                line = VALUE.sub(lambda found: html.escape(str(self.value(found[1], values, node, scope))), node.rest)
                output.append(line + "\n")
            elif node.kind == "include":
                output.append(self.other(node.rest).render(values))
            elif node.kind == "for":
                name, source = LOOP.fullmatch(node.rest).groups()  # type: ignore[union-attr]
                for item in self.value(source, values, node, scope):
                    self.run(node.body, {**values, name: item}, output, scope)
                    scope.line(node.line, 2 * node.line)
            else:
                is_true = bool(self.value(node.rest, values, node, scope))
                wanted = is_true if node.kind == "if" else not is_true
                self.run(node.body if wanted else node.otherwise, values, output, scope)

    def value(self, path: str, values: Mapping[str, Any], node: Node, scope: rmon.Scope) -> Any:
        """The value of a.b.c, by attributes or keys."""
        found: Any = values
        for name in path.split("."):
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif hasattr(found, name) and not isinstance(found, Mapping):
                found = getattr(found, name)
            else:
                error = TemplateError(f"{self.path}:{node.line}: {path} has no value")
                scope.raise_(2 * node.line, error)
                raise error
        return found

    def other(self, name: str) -> "Template":
        if name not in self.included:
            self.included[name] = Template(os.path.join(os.path.dirname(self.path), name))
        return self.included[name]


def is_blank(node: Node) -> bool:
    return node.kind == "text" and not node.rest.strip()

"""The plugin that lets coverage.py measure templates. In .coveragerc: plugins = plate.coverage"""

from __future__ import annotations

from typing import Any, Mapping, Set

import rmon.coverage

from plate import Template


class TemplatePlugin(rmon.coverage.EmitterPlugin):
    suffixes = (".html",)

    def executable_lines(self, filename: str) -> Set[int]:
        return Template(filename).executable_lines()


def coverage_init(reg: Any, options: Mapping[str, str]) -> None:
    rmon.coverage.register(reg, TemplatePlugin())

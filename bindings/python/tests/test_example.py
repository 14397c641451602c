"""The example template-engine: its templates are rendered, and coverage.py measures them as its README shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest

pytestmark = pytest.mark.thorough

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "template-engine"

if not EXAMPLE.is_dir():
    pytest.skip("the examples are in rmon's repository only", allow_module_level=True)

PAGE = """\
<h1>Order 42</h1>

<ul>
<li>
  2 × Salt &amp; vinegar
</li>
<li>
  1 × Pepper
  <em>ground</em>
</li>
</ul>
<p>Please pay 7.50 to the shop.</p>
"""


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of the example, for what running it leaves behind."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__")))


def run(example: Path, *arguments: str, code: int = 0) -> str:
    """What the interpreter prints. It must write nothing to standard error."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=example,
        env={**environment, "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (code, ""), done.stdout
    return done.stdout


def block_of_readme(first: str) -> str:
    """The block of the README that begins with a line."""
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^```\w*\n({re.escape(first)}.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_engine(example: Path) -> None:
    assert run(example, "shop.py") == PAGE


def test_engine_under_rmon_run(example: Path) -> None:
    assert run(example, "-m", "rmon", "run", "shop.py") == PAGE


def render(example: Path, text: str, **values: object) -> str:
    (example / "test.html").write_text(text, encoding="utf-8")
    program = (
        "import sys, plate\ntry:\n    print(plate.Template('test.html').render(eval(sys.argv[1])), end='')\n"
        "except plate.TemplateError as error:\n    print(str(error).rpartition('/')[2], end='')\n"
    )
    return run(example, "-c", program, repr(values))


TEMPLATES: Dict[str, str] = {
    "": "",
    "text\n\nmore": "text\n\nmore\n",
    "{{ a }}{{a}} {{ d.b.c }}": "&lt;&lt; 3\n",
    "{% if a %}\nyes\n{% else %}\nno\n{% end %}": "yes\n",
    "{% if no %}\nyes\n{% else %}\nno\n{% end %}": "no\n",
    "{% if not no %}\nyes\n{% end %}": "yes\n",
    "{% for i in list %}\n{% if i %}\n{{ i }}{{ a }}\n{% end %}\n{% end %}": "1&lt;\n2&lt;\n",
    "{# all of it #}\na {# some #} b {# pragma: no cover #}\n{% if a %} {# too #}\nc\n{% end %}": "a b\nc\n",
    "{{ x }}": "test.html:1: x has no value",
    "\n{{ d.x }}": "test.html:2: d.x has no value",
    "{% if a %}\n": "test.html:1: {% end %} is missing",
    "{% end %}": "test.html:1: this cannot stand here: {% end %}",
    "{% if a %}\n{% else %}\n{% else %}\n{% end %}": "test.html:3: this cannot stand here: {% else %}",
    "{% while a %}": "test.html:1: this cannot stand here: {% while a %}",
    "{% for a %}\n{% end %}": "test.html:1: it does not say what to loop over: {% for a %}",
}


@pytest.mark.parametrize("text", TEMPLATES)
def test_template(text: str, example: Path) -> None:
    values = {"a": "<", "no": "", "list": [0, 1, 2], "d": {"b": {"c": 3}}}
    assert render(example, text, **values) == TEMPLATES[text]


CORES = ["", "ctrace", "pytrace", "sysmon"]


@pytest.mark.parametrize("how", [[], ["-m", "rmon", "run"]], ids=["by_itself", "by_rmon_run"])
@pytest.mark.parametrize("core", CORES)
def test_report_of_the_readme(core: str, how: "list[str]", example: Path) -> None:
    pytest.importorskip("coverage")
    if core:
        config = example / ".coveragerc"
        config.write_text(config.read_text().replace("[run]\n", f"[run]\ncore = {core}\n"))
    assert run(example, *how, "-m", "coverage", "run", "shop.py") == PAGE
    assert run(example, "-m", "coverage", "report") == block_of_readme("Name")


def test_html_shows_missed_lines(example: Path) -> None:
    pytest.importorskip("coverage")
    run(example, "-m", "coverage", "run", "shop.py")
    run(example, "-m", "coverage", "html", "-q")
    page = next((example / "htmlcov").glob("*order_html.html")).read_text(encoding="utf-8")
    lines = {
        int(line): state for state, line in re.findall(r'<p class="(\w*)[^"]*"><span class="n"><a id="t(\d+)"', page)
    }
    assert {line for line, state in lines.items() if state == "mis"} == {11, 16}
    assert {line for line, state in lines.items() if state == "run"} == {1, 4, 5, 6, 7, 9, 13, 14, 15}
    assert "Nothing was ordered." in re.sub("<[^>]*>", "", page)


def test_excluded_line_is_not_counted(example: Path) -> None:
    pytest.importorskip("coverage")
    template = example / "templates" / "order.html"
    template.write_text(template.read_text(encoding="utf-8").replace("once!", "once! {# pragma: no cover #}"), "utf-8")
    run(example, "-m", "coverage", "run", "shop.py")
    assert re.search(r"^templates/order\.html +10 +1 +90% +11$", run(example, "-m", "coverage", "report"), re.MULTILINE)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="CPython 3.12 has brought sys.monitoring")
def test_cprofile_counts_templates(example: Path) -> None:
    text = run(example, "-m", "rmon", "run", "-m", "cProfile", "-s", "name", "shop.py")
    assert re.search(r"^ +2 .* item\.html:1\(item\.html\)$", text, re.MULTILINE)
    assert re.search(r"^ +1 .* order\.html:1\(order\.html\)$", text, re.MULTILINE)

"""What stands in docstrings is to be read on the page as it was written."""

from __future__ import annotations

import pytest
from markdown import Markdown

from docs_build.docstrings import AsWritten  # noqa: F401, it is to be importable
from docs_build.markup import plain, table
from docs_build.mathml import mathml


def html(text: str) -> str:
    return Markdown(extensions=["tables", "docs_build.mathml"]).convert(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-mean_b <p_b, z_b> / (|p_b| |z_b|)", "-mean_b &lt;p_b, z_b&gt; / (|p_b| |z_b|)"),
        ("|M * (x - F((1 - M) * x))|^2", "|M * (x - F((1 - M) * x))|^2"),
        ("cos <p, z> > 0", "cos &lt;p, z&gt; &gt; 0"),
        ("costs $5 or $6", "costs $5 or $6"),
        ("[a, b] and {c}", "[a, b] and {c}"),
        (r"a \ b", r"a \ b"),
    ],
)
def test_a_docstring_is_shown_as_it_is(text, shown):
    found = html(plain(text)).replace("&#124;", "|").replace("&#36;", "$")
    assert found == f"<p>{shown}</p>"


def test_code_stays_code_and_papers_are_links():
    assert html(plain("`a_b * c`")) == "<p><code>a_b * c</code></p>"
    assert '<a href="https://arxiv.org/abs/2002.05709">arXiv:2002.05709</a>' in html(plain("arXiv:2002.05709, eq. 1"))


def test_a_bar_does_not_end_a_cell():
    page = html(table(("a", "b"), [(plain("|x|"), "1")]))
    assert page.count("<td>") == 2


def test_formulas_between_dollars_and_nothing_else():
    page = html("the loss $z_i$, `echo $HOME $PATH`, and 5$ or 6$")
    assert page.count("<math") == 1
    assert "<code>echo $HOME $PATH</code>" in page
    assert "5$ or 6$" in page


@pytest.mark.parametrize("command", ["nosuchcommand", "mathcall{L}", "arg"])
def test_a_command_that_is_unknown_is_refused(command):
    with pytest.raises(ValueError, match=command[:6]):
        mathml(rf"a + \{command} + \mathcal{{L}}")

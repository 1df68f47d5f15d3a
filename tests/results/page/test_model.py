"""The data that the page carries: nothing of a run can leave the script element it stands in."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from qualification.printable import printable
from qualification.results.page.model import Page, PageRun, dump

RUN = PageRun("1", "", "", "", False, "", "", "quick", 1, 1e-3, 0.999, "QUALIFIED", "", 1, 1, 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["</script>", "<!--<script>", "]]>", "\u2028", "\x00", "&lt;", "</SCRIPT\n>"]
)


@given(TEXTS)
def test_a_string_of_a_run_is_data_and_nothing_else(text: str) -> None:
    page = Page(replace(RUN, topology=text), ((text, "x"),), (), (), (), (), ())
    dumped = dump(page)
    assert "<" not in dumped
    assert json.loads(dumped)["run"]["topology"] == printable(text)

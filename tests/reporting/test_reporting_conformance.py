"""The conformance statement says of each kind of document what its files are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.documents import items, read

from dosremc_node.cli.conformance.statement import SENT, statement


def test_each_kind_is_what_the_statement_says(filed: Sequence[Any]) -> None:
    """SOP class, modality and root template of every document of plain and of extreme exams."""
    for each in filed:
        dataset, said = read(each.document), SENT[each.document.kind]
        template = dataset.ContentTemplateSequence[0].TemplateIdentifier if "ContentTemplateSequence" in dataset else ""
        assert (dataset.SOPClassUID, dataset.Modality, template) == (said.sop_class_uid, said.modality, said.template)


def test_each_code_is_in_the_statement(filed: Sequence[Any]) -> None:
    """Every concept of our own scheme that is written in a report stands in its table, save those that are named for a view."""
    text = statement()
    for each in filed:
        if each.document.kind == "summary":
            names = [item.ConceptNameCodeSequence[0] for _, item in items(read(each.document))]
            private = {(name.CodeValue, name.CodeMeaning) for name in names if name.CodingSchemeDesignator == "99DOSREMC"}
            for value, meaning in private:
                assert f"| {value} | {meaning} |" in text or value == meaning.replace(" ", "-")

"""``data``, ``train``, ``adapt`` and ``evaluate`` as they are typed: what they print, and what they refuse at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import datasets
from typer.testing import CliRunner, Result

from dosremc_node.cli import app
from dosremc_node.errors import NodeError
from dosremc_node.network.data import LAYOUTS


def typed(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def said(result: Result) -> str:
    """What reaches a person, folded lines unfolded; an error of ours is what `main` prints."""
    return " ".join(f"{result.output} {result.exception or ''}".replace("│", " ").split())


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    datasets.write_vindr(folder / "set")
    made = typed("data", "index", "vindr", folder / "set", "--out", folder / "index.csv", "--json")
    assert made.exit_code == 0, said(made)
    report = json.loads(made.stdout)
    assert sum(each["images"] for each in report["balance"]) == 14
    assert report["excluded"] == {"The breast is assessed BI-RADS 3: neither negative nor suspicious.": 2}
    assert "14 images in" in made.stderr
    return folder / "index.csv"


def test_an_index_shows_its_balance_and_warns_of_confounding(index: Path) -> None:
    """Women, exams, breasts and images of each split and domain; that the scanner tells the label is said in a sentence."""
    shown = typed("data", "balance", index)
    assert shown.exit_code == 0
    assert "simulated-a" in shown.stdout
    assert "In the test split the domain alone predicts the label" in said(shown)


def test_layouts_are_listed_and_described() -> None:
    """Each with its label and access; one by name with its files and columns."""
    listed = typed("data", "layouts").stdout
    assert all(each.NAME in listed for each in LAYOUTS.values())
    assert "breast-level_annotations.csv" in typed("data", "layouts", "vindr").stdout


@pytest.mark.parametrize(
    "command", [("data", "index"), ("data", "balance"), ("data", "layouts"), ("train", "release"), ("adapt",), ("evaluate",)]
)
def test_help_has_an_example(command: tuple[str, ...]) -> None:
    """Every command shows how it is typed."""
    assert f"Example: dosremc-node {' '.join(command)}" in said(typed(*command, "--help"))


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("data", "index", "mias", ".", "--out", "x.csv"), 2, "'mias' is not one of vindr, csaw, cbis, rsna, embed, cmmd"),
        (
            ("train", "release", "x", "--index", "{index}", "--domain", "ge"),
            2,
            "'ge' is not in the index, which has simulated-a, simulated-b",
        ),
        (("train", "release", "x", "--index", "{index}", "--network", "vgg"), 2, "'vgg' is not one of saliency, gmic"),
        (("adapt", "demonstration", "x", "--index", "{index}"), 2, "name one of simulated-a, simulated-b"),
        (
            ("adapt", "demonstration", "x", "--index", "{index}", "--domain", "simulated-b", "--method", "full"),
            1,
            "The method full gives no bank",
        ),
        (("evaluate", "demonstration", "--index", "{index}", "--split", "dev"), 2, "'dev' is not one of training, validation, test"),
        (("evaluate", "nothing", "--index", "{index}"), 1, "There is no release nothing"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(index: Path, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    """Exit code 2 where the command was wrong, 1 where something else is, and a sentence either way."""
    result = typed(*(each.format(index=index) for each in arguments))
    assert (result.exit_code, sentence in said(result)) == (code, True), said(result)
    assert code == 2 or isinstance(result.exception, NodeError)


def test_a_domain_without_a_bank_is_listed_as_not_measured(index: Path, tmp_path: Path) -> None:
    """Its own bank is never replaced by another's in silence; naming one scores with it, and JSON is nothing but JSON."""
    text = index.read_text().replace("simulated-b", "ge")
    other = index.with_name("other.csv")
    other.write_text(text)
    shown = typed("evaluate", "demonstration", "--index", other, "--cache", tmp_path, "--json", "--device", "cpu")
    assert shown.exit_code == 0, said(shown)
    ge = next(each for each in json.loads(shown.stdout)["domains"] if each["domain"] == "ge")
    assert (ge["performance"], ge["why"]) == (None, "the release has no bank and operating point for ge")
    forced = typed(
        "evaluate", "demonstration", "--index", other, "--cache", tmp_path, "--domain", "ge", "--bank", "simulated-b", "--device", "cpu"
    )
    assert forced.exit_code == 0, said(forced)
    assert "simulated-b" in forced.stdout
    assert "1 malignant and 1 other cases" in said(forced)

"""Which domain a scanner belongs to, and what is said of a wrong domains file."""

from __future__ import annotations

from pathlib import Path

import pytest

from dosremc_node.errors import UnknownSetting, WrongSetting
from dosremc_node.records import ScannerKey
from dosremc_node.studies import load_domains

SPELLINGS = {
    "hologic": ["HOLOGIC, Inc.", "Hologic, Inc.", "HOLOGIC, INC.", "LORAD", "Lorad.", "Lorad, A Hologic Company", " HOLOGIC,  Inc. "],
    "ge": ["GE MEDICAL SYSTEMS", "GE HEALTHCARE"],
    "siemens": ["SIEMENS", "Siemens"],
    "fujifilm": ["FUJIFILM Corporation"],
    "planmed": ["Planmed"],
    "ims-giotto": ["IMS s.r.l.", "IMS GIOTTO S.p.A."],
    "philips": ["Sectra Imtec AB", "Philips Digital Mammography Sweden AB", "Philips Medical Systems"],
    "konica-minolta": ["KONICA MINOLTA"],
    "simulated-a": ["Simulated Vendor A"],
    "simulated-b": ["Simulated Vendor B"],
    "simulated-c": ["Simulated Vendor C"],
    "simulated-d": ["Simulated Vendor D"],
}


@pytest.mark.parametrize(("domain", "spelling"), [(domain, each) for domain, spellings in SPELLINGS.items() for each in spellings])
def test_the_shipped_file_knows_every_spelling(domain: str, spelling: str) -> None:
    """Every spelling of a manufacturer that has been seen leads to its domain, whatever model and version."""
    assert load_domains().domain_of(ScannerKey(spelling, "any model", "1.0")) == domain


@pytest.mark.parametrize("manufacturer", ["", "Unheard of", "HOLOGIC, Inc. clone", "SIEMENSSTADT", "hologic.*"])
def test_what_fits_no_rule_is_unknown(manufacturer: str) -> None:
    """A header without a manufacturer, or with another one, belongs to no domain."""
    assert load_domains().domain_of(ScannerKey(manufacturer, "", "")) is None


def test_a_model_or_version_can_have_a_domain_of_its_own(tmp_path: Path) -> None:
    """The first rule that fits decides, by manufacturer, model and software version with patterns."""
    file = tmp_path / "domains.toml"
    file.write_text(
        """
        [[essential-new]]
        manufacturers = ["GE *"]
        models = ["Senographe Essential*"]
        software_versions = ["*ADS_5[4-9]*"]
        [[essential]]
        manufacturers = ["GE *"]
        models = ["Senographe Essential*", "Senograph DS*"]
        [[ge]]
        manufacturers = ["GE MEDICAL SYSTEMS"]
        """
    )
    table = load_domains(file)
    assert (
        table.domain_of(ScannerKey("GE MEDICAL SYSTEMS", "Senographe Essential VERSION ADS_54.10", "Package VERSION ADS_54.10"))
        == "essential-new"
    )
    assert table.domain_of(ScannerKey("ge healthcare", "SENOGRAPHE ESSENTIAL", "ADS_53.40")) == "essential"
    assert table.domain_of(ScannerKey("GE MEDICAL SYSTEMS", "Senographe Pristina", "")) == "ge"
    assert table.domain_of(ScannerKey("GE HEALTHCARE", "Senographe Pristina", "")) is None
    assert table.domains == {"essential-new", "essential", "ge"}


@pytest.mark.parametrize(
    ("text", "error", "line", "says"),
    [
        ('[[ge]]\nmanufacturers = ["GE"]\n\n[[ge]]\nmodell = ["x"]\n', UnknownSetting, "line 5", "modell"),
        ('[[ge]]\nmanufacturers = ["GE"]\n\n[[siemens]]\nmanufacturers = "SIEMENS"\n', WrongSetting, "line 5", "list of texts"),
        ('[[ge]]\nmanufacturers = ["GE"]\nmodels = [1]\n', WrongSetting, "line 3", "list of texts"),
        ('[[ge]]\nmanufacturers = ["GE", " "]\n', WrongSetting, "line 2", "list of texts"),
        ('\n[[ge]]\nmodels = ["x"]\n', WrongSetting, "line 2", "at least one spelling"),
        ('\n\n[ge]\nmanufacturers = ["GE"]\n', WrongSetting, "line 3", "[[ge]]"),
        ("ge = 1\n", WrongSetting, "line 1", "[[ge]]"),
        ('[["G E"]]\nmanufacturers = ["GE"]\n', WrongSetting, "line 1", "small letters"),
        ('[[ge]]\nmanufacturers = ["GE"\n[[x]]\n', WrongSetting, "line 3", "TOML"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(text: str, error: type[Exception], line: str, says: str, tmp_path: Path) -> None:
    """Whatever is wrong in a domains file is named with the file, the line, and what was expected."""
    file = tmp_path / "domains.toml"
    file.write_text(text)
    with pytest.raises(error) as caught:
        load_domains(file)
    for part in ("domains.toml", line, says):
        assert part in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A domains file that is not there is a wrong setting."""
    with pytest.raises(WrongSetting, match="domains_file"):
        load_domains(tmp_path / "nowhere.toml")

"""Bundles as a vendor gets them: complete, told rightly, and without a secret in any file."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile
from ipaddress import ip_address
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from qualification.errors import UsageError
from qualification.plan.features import TNL_CSUM
from qualification.results.bundle.write import write
from qualification.wire.capture_file import read_frames
from qualification.wire.verify import OUTER_L4, check
from tests.browser import accessibility_faults, opened, sideways
from tests.results.page.conftest import FAILING, tunnel_frame

from .conftest import LOG, PCI, SECRETS, WRITTEN

VXQUAL = Path(sys.executable).with_name("vxqual")
CAPTURE = "x710_all-on_outer4-csum_inner4_tcp.pcapng"


@pytest.fixture
def bundle(stored: Path, tmp_path: Path) -> Path:
    return write(stored, (), tmp_path / "bundle")[0]


def forms(secret: str) -> list[bytes]:
    """Every form in which a secret may stand in a file."""
    found = [secret.encode()]
    if re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", secret):
        return [*found, secret.replace(":", "-").encode(), bytes.fromhex(secret.replace(":", ""))]
    try:
        return [*found, ip_address(secret).packed]
    except ValueError:
        return found


def test_no_file_has_a_secret(bundle: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        archive.extractall(unpacked)
    paths = [*bundle.iterdir(), *(unpacked / "bundle").iterdir()]
    assert len(paths) == 14
    for path in paths:
        content = path.read_bytes().lower()
        for secret in (*SECRETS, WRITTEN):
            for form in forms(secret):
                assert form.lower() not in content, (path.name, secret)


def test_a_pdf_says_the_same_and_has_no_secret(stored: Path, tmp_path: Path) -> None:
    place, _ = write(stored, (), tmp_path / "bundle", with_pdf=True)
    if shutil.which("pdftotext") is None:
        pytest.skip("needs pdftotext")
    words = ["pdftotext", "-raw", str(place / "report.pdf"), "-"]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
    first = " ".join(said.partition("\f")[0].split())  # which is all that many will read
    for told in ("i40e", "218.0.166.0", "30 of 1,000 frames are wrong", "reproduce.py", TNL_CSUM):
        assert told in first
    shown = said.lower().replace("\n", "")
    assert "outer.udp.incsumerrors" in shown
    assert not [secret for secret in (*SECRETS, WRITTEN) if secret in shown]


def test_unmasked_where_that_is_asked_for(stored: Path, tmp_path: Path) -> None:
    place, _ = write(stored, (FAILING,), tmp_path / "plain", redact=False)
    text = (place / "report.md").read_text()
    for secret in ("alpha.lab.example.com", "198.18.0.1", "SN-77-AB12", LOG, *PCI):
        assert secret in text
    assert bytes([198, 18, 0, 1]) in (place / CAPTURE).read_bytes()


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_the_fault_is_told_rightly(bundle: Path, name: str) -> None:
    text = (bundle / name).read_text().replace("\\", "")
    for told in (
        "i40e",
        "218.0.166.0",
        "30 of 1,000 frames are wrong",
        "noise, outer L4: random",
        "tx-udp_tnl-csum-segmentation",
        "none of 1,000 is wrong",
        "ethtool -K p0 tx-udp_tnl-csum-segmentation off",
        CAPTURE,
        "outer.Udp.InCsumErrors",
        "hw csum failure",
        "8086:1572",
        "rx_coalesce_usecs 50",
        "ring rx 4096",
        "module parameter debug",
        "[PN] Part number: K65390-000",
        "Kernel driver in use: i40e",
        "[YA] Asset tag: (masked)",
    ):
        assert told in text, told


@pytest.mark.parametrize("dark", [False, True])
def test_everybody_can_read_it(browser: Browser, bundle: Path, *, dark: bool) -> None:
    with opened(browser, bundle / "report.html", width=390, dark=dark, ready="h1") as page:
        assert accessibility_faults(page) == []
        content, window = sideways(page)
        assert content == window


def test_the_capture_shows_the_fault(bundle: Path) -> None:
    frames = [data for data, _ in read_frames(bundle / CAPTURE)]
    assert len(frames) == 3
    assert [check(frame).bad for frame in frames] == [OUTER_L4] * 3
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("needs tshark")
    shown = subprocess.run(
        [
            *(tshark, "-r", str(bundle / CAPTURE), "-o", "udp.check_checksum:TRUE", "-T", "fields"),
            *("-e", "frame.comment", "-e", "udp.checksum.status", "-e", "ip.checksum.status"),
            *("-e", "ip.src", "-o", "ip.check_checksum:TRUE"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    assert len(shown) == 3
    for line in shown:
        comment, udp, ip, source = line.split("\t")
        assert re.fullmatch("outer UDP checksum is 0x[0-9a-f]{4}, should be 0x[0-9a-f]{4}", comment)
        assert (udp.split(",")[0], ip) == ("0", "1,1")  # bad; both IP headers good
        assert source.split(",")[0] == "192.0.2.1"


def test_beside_it_are_right_frames_and_what_was_submitted(bundle: Path) -> None:
    right, submitted = (CAPTURE.replace("tcp.", f"tcp.{kind}.") for kind in ("right", "submitted"))
    [(counterpart, _)] = read_frames(bundle / right)
    assert (check(counterpart).bad, len(counterpart)) == (0, len(tunnel_frame()))
    [(handed, length)] = read_frames(bundle / submitted)
    assert (len(handed), length) == (100, len(tunnel_frame()))
    text = (bundle / "report.md").read_text()
    assert right in text
    assert submitted in text
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("needs tshark")
    for name, told in ((right, "right, in the flow"), (submitted, "pseudo-header sum")):
        words = [tshark, "-r", str(bundle / name), "-T", "fields", "-e", "frame.comment"]
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
        assert told in said
        assert f"frame 1 of {CAPTURE}" in said


def test_lost_frames_are_told(stored: Path, tmp_path: Path) -> None:
    results = json.loads((stored / "matrix.json").read_text())
    cell = next(one for one in results["cells"] if one["id"] == FAILING)
    cell |= {"verdict": "LOSS", "frames": 750, "bad": 0, "lost": 250, "culprit": None}
    (stored / "matrix.json").write_text(json.dumps(results))
    place, _ = write(stored, (), tmp_path / "lost")
    assert "250 of 1000 frames are lost" in (place / "report.md").read_text()
    assert "250 of 1000 frames are lost" in (place / "report.html").read_text()
    assert '"loss": 0.25,' in (place / "reproduce.py").read_text()


def test_the_reproducer_has_the_cell(bundle: Path) -> None:
    tree = ast.parse((bundle / "reproduce.py").read_text(), feature_version=(3, 9))
    given = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and node.value is not None
    )
    assert given["cell"] == FAILING
    assert (given["outer"], given["inner"], given["l4"], given["port"]) == (4, 4, "tcp", 4789)
    assert given["features"]["tx-udp_tnl-csum-segmentation"] is True
    assert given["culprit"] == ["tx-udp_tnl-csum-segmentation"]
    modules = {
        name.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert modules <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("x710/all-on/outer4-csum/inner4/udp",), "did not fail"),
        (("e810",), "no cell of e810 fails"),
    ],
)
def test_cells_that_cannot_be_told(stored: Path, names: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        write(stored, names)


def test_by_command(stored: Path, tmp_path: Path) -> None:
    words = [VXQUAL, "bundle", stored, "x710", "--out", tmp_path / "here"]
    for code, told in ((0, "bundle: "), (4, "exists already")):
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == code, done.stderr
        assert told in done.stdout + done.stderr
        assert "Traceback" not in done.stderr

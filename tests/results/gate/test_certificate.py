"""The certificate: what it says, that nothing in it acts, its PDF and its signature."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from qualification.campaign import Campaign
from qualification.errors import UsageError
from qualification.judge.verdict import Verdict
from qualification.plan.features import TNL_CSUM
from qualification.results.gate.certificate import certify, document, schema
from qualification.results.gate.decision import decide
from qualification.results.gate.paper import NAMESPACE, page, pdf, sign, write

from .conftest import NOW, MakeJudged, cost, policy, tcp_all_on

SCHEMA = Path(__file__, "../../../../reports/certificate.schema.json").resolve()
EVIL = "8.30 </td><script>alert(1)</script><img src=http://192.0.2.1/x> {{ 7*7 }} \u202e\x1b[31m"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    for name in ("evidence.jsonl", "run.json", "matrix.json", "vxqual.log"):
        (path / name).write_text(f"the content of {name}\n")
    return path


@pytest.fixture
def made(judged: MakeJudged, directory: Path) -> dict[str, Any]:
    """The certificate of a NIC that has to be used with a feature off."""
    return certificate(judged(fails, culprit=[TNL_CSUM], cost=cost(12.5, 40.0)), directory)


def fails(cell: Any) -> Verdict:
    return Verdict.FAIL if tcp_all_on(cell) else Verdict.PASS


def certificate(judged: Any, directory: Path) -> dict[str, Any]:
    decided = decide(judged, policy(mitigation={"allowed": True}), NOW)
    return document(certify(decided, judged.matrix, directory))


def text_of(path: Path) -> str:
    """What a PDF says, as one line."""
    said = subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True)
    return " ".join(said.stdout.split())


class Seen(HTMLParser):
    """The tags of a page, what they refer to, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.refers: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.refers += [f"{name}={v}" for name, v in attrs if name in ("src", "href", "onload")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_it_has_the_form_of_its_schema(made: dict[str, Any]) -> None:
    command = "qualification.results.gate.certificate"
    printed = subprocess.run(
        [sys.executable, "-m", command], capture_output=True, text=True, check=True
    ).stdout
    assert SCHEMA.read_text() == printed, f"python -m {command} > reports/{SCHEMA.name}"
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(made, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**made, "outcome": "FINE"}, schema())


def test_it_says_what_it_rests_on(made: dict[str, Any], directory: Path) -> None:
    assert made["outcome"] == "QUALIFIED WITH MITIGATION"
    assert {one["name"]: one["sha256"] for one in made["files"]} == {
        name: hashlib.sha256((directory / name).read_bytes()).hexdigest()
        for name in ("evidence.jsonl", "run.json", "matrix.json")
    }
    (nic,) = made["nics"]
    assert (nic["dut"]["driver"], nic["dut"]["firmware"]) == ("i40e", "8.30 0x8000af86")
    assert nic["mitigation"]["command"] == f"ethtool -K p0 {TNL_CSUM} off"
    assert nic["mitigation"]["cost"]["throughput_loss"] == 12.5
    assert nic["faults"][0]["culprit"] == [TNL_CSUM]
    assert {one["rule"] for one in nic["rules"]} >= {"nic.verdicts", "mitigation.allowed"}
    assert {one["rule"] for one in made["rules"]} >= {"run.plan", "run.complete"}
    assert made["run"]["outcome"] == "NOT QUALIFIED", "the run itself knows no policy"


def test_a_run_without_a_matrix_has_fewer_files(judged: MakeJudged, directory: Path) -> None:
    (directory / "matrix.json").unlink()
    names = [one["name"] for one in certificate(judged(), directory)["files"]]
    assert names == ["evidence.jsonl", "run.json"]


def test_nothing_that_a_host_says_acts(
    judged: MakeJudged, campaign: Callable[..., Campaign], directory: Path
) -> None:
    evil = judged(campaign=campaign(x710=("<b>i40e", EVIL)))
    seen = Seen(page(certificate(evil, directory), "ab" * 32))
    assert not seen.tags & {"script", "img", "b", "link", "iframe", "object"}
    assert not seen.refers
    assert "<b>i40e, firmware 8.30 </td><script>alert(1)</script><img src=" in seen.text
    assert "{{ 7*7 }}" in seen.text
    assert r"\u202e\x1b[31m" in seen.text
    assert "\u202e" not in seen.text


def test_the_page_prints_and_has_a_dark_form(made: dict[str, Any]) -> None:
    html = page(made, "ab" * 32)
    assert "default-src 'none'" in html
    for media in ("@media print", "@media (prefers-color-scheme: dark)", "@page"):
        assert media in html
    assert "ab" * 32 in Seen(html).text
    said = " ".join(Seen(html).text.split())
    assert "Measured cost: 12.5 % of throughput and 40.0 % more CPU per byte" in said
    assert "CPU, seconds per GB every offload on" in said
    assert "1.000 (0.900 to 1.100) with the mitigation" in said


def test_a_pdf_says_the_same(made: dict[str, Any], tmp_path: Path) -> None:
    json_file, html, paper = write(made, tmp_path / "out", with_pdf=True)
    assert json.loads(json_file.read_text()) == made
    said = text_of(paper)
    for text in (
        *("QUALIFIED WITH MITIGATION", "By the policy a site", "i40e", "firmware 8.30 0x8000af86"),
        *(f"ethtool -K p0 {TNL_CSUM} off", "Measured cost: 12.5 % of throughput"),
        *("nic.verdicts", "no verdict but PASS"),
    ):
        assert text in said, text
    assert hashlib.sha256(json_file.read_bytes()).hexdigest() in said.replace(" ", "")
    assert html.name == "certificate.html"


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A web server, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()
        thread.join()


def test_a_pdf_is_made_without_any_network(server: tuple[str, list[str]]) -> None:
    url, asked = server
    assert pdf(f"<img src={url}/a><link rel=stylesheet href={url}/b><p>text").startswith(b"%PDF")
    assert not asked


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab@example.net", "-f", path],
        check=True,
        capture_output=True,
    )
    return path


def verified(certificate: Path, key: Path, namespace: str = NAMESPACE) -> bool:
    allowed = key.with_name("allowed_signers")
    allowed.write_text(f"lab@example.net {key.with_suffix('.pub').read_text()}")
    command = ["ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "lab@example.net"]
    done = subprocess.run(
        [*command, "-n", namespace, "-s", f"{certificate}.sig"],
        input=certificate.read_bytes(),
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def test_a_signature(made: dict[str, Any], tmp_path: Path, key: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):  # a second certificate replaces the first
        written = write(made, out, key)
    assert [path.name for path in written] == [
        *("certificate.json", "certificate.html", "certificate.json.sig"),
    ]
    assert verified(out / "certificate.json", key)
    assert not verified(out / "certificate.json", key, "file")
    path = out / "certificate.json"
    path.write_text(path.read_text().replace("QUALIFIED WITH MITIGATION", "QUALIFIED"))
    assert not verified(path, key)


def test_a_key_that_is_none(made: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^.*/none: cannot sign: .*\n  next: give a private SSH"):
        write(made, tmp_path / "out", tmp_path / "none")
    assert not (tmp_path / "out").exists(), "nothing was written"
    other = tmp_path / "other"
    other.write_text("no key\n")
    other.chmod(0o600)
    with pytest.raises(UsageError, match="cannot sign: "):
        sign(b"content", other)

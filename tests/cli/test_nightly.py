"""The commands of a nightly job as users meet them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from qualification.shipped import report_file

from .test_store import campaign, lab, vxqual

__all__ = ["campaign", "lab"]
GOOD, FAULTY = "20260103-030405-000000", "20260102-030405-000000"


def test_a_summary_tells_of_the_run_before(lab: Path) -> None:
    done = vxqual("report", "out", "--summary", cwd=lab)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "# QUALIFIED. 1 cells: 1 pass"
    assert lines[-1] == "There is no store that knows an earlier run"
    vxqual("import", "out", cwd=lab)
    lines = vxqual("report", "out", "--summary", cwd=lab).stdout.splitlines()
    assert f"## Since run {FAULTY}" in lines
    assert "HEALED: x710 (i40e, firmware 8.30 → 9.20). 1 cell: 1 healed" in lines
    done = vxqual("report", FAULTY, "--summary", "--junit", "nics.xml", cwd=lab)
    assert "out/runs.sqlite has no earlier run of plan quick that judged a NIC of it" in done.stdout
    assert done.stdout.endswith("\njunit: nics.xml\n")


def test_a_run_alone_is_compared_with_the_one_before(lab: Path) -> None:
    done = vxqual("compare", "out", cwd=lab)
    assert (done.returncode, done.stdout) == (4, "")
    assert "out/runs.sqlite: there is no store\n  next: vxqual import" in done.stderr
    vxqual("import", "out", cwd=lab)
    done = vxqual("compare", "out", cwd=lab)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("HEALED: x710 (i40e, firmware 8.30 -> 9.20)")
    (lab / "elsewhere").mkdir()
    place = lab / "elsewhere"
    assert vxqual("compare", "../out", "--markdown", cwd=place).stdout.startswith("# HEALED")
    done = vxqual("compare", FAULTY, cwd=lab)
    assert done.returncode == 4
    assert f"run {FAULTY}: out/runs.sqlite has no earlier run of plan quick" in done.stderr


# Notifications


class Hook(BaseHTTPRequestHandler):
    """A webhook that keeps what it is sent, and refuses it below /refuse."""

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told.append((self.path, told))  # type: ignore[attr-defined]
        self.send_response(500 if self.path.startswith("/refuse") else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.told = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def url(hook: ThreadingHTTPServer, path: str = "s3cret") -> str:
    return f"json://user:s3cret@127.0.0.1:{hook.server_port}/{path}"


def told(hook: ThreadingHTTPServer) -> list[tuple[str, dict[str, str]]]:
    return hook.told  # type: ignore[attr-defined,no-any-return]


def test_the_summary_is_sent(
    lab: Path, hook: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    vxqual("import", "out", cwd=lab)
    done = vxqual("notify", FAULTY, "--to", url(hook), cwd=lab)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "told: URL 1 of 1 (json://***)\n"
    ((path, message),) = told(hook)
    assert path == "/s3cret"
    assert message["title"] == "vxqual: NOT QUALIFIED: x710 (i40e, firmware 8.30). 1 cells: 1 FAIL"
    assert message["type"] == "failure"
    assert "Why\n" in message["message"]
    assert "x710/all-on/outer4-csum/inner4/tcp" in message["message"]

    monkeypatch.setenv("VXQUAL_NOTIFY", f"{url(hook, 'a')} {url(hook, 'b')}")
    done = vxqual("notify", "--when", "changed", cwd=lab)
    assert done.stdout == "told: URL 1 of 2 (json://***), URL 2 of 2 (json://***)\n"
    assert [path for path, _ in told(hook)[1:]] == ["/a", "/b"]
    assert told(hook)[1][1]["type"] == "success"
    assert "HEALED: x710" in told(hook)[1][1]["message"]

    done = vxqual("notify", "--when", "failed", cwd=lab)
    assert (done.returncode, done.stdout) == (
        0,
        f"nothing to tell of run {GOOD}: --when failed, and it ended QUALIFIED\n",
    )
    assert vxqual("notify", "--message", "no run", cwd=lab).returncode == 0
    assert [message["message"] for _, message in told(hook)[3:]] == ["no run", "no run"]


def test_whoever_cannot_be_told_is_named_without_its_secrets(
    lab: Path, hook: ThreadingHTTPServer
) -> None:
    with socket.socket() as bound:  # nobody listens there
        bound.bind(("127.0.0.1", 0))
        nobody = f"json://127.0.0.1:{bound.getsockname()[1]}/s3cret"
        given = (url(hook, "refuse/s3cret"), url(hook), nobody)
        done = vxqual("notify", "out", *(word for one in given for word in ("--to", one)), cwd=lab)
    assert (done.returncode, done.stdout) == (10, "")
    assert done.stderr == (
        "vxqual: 2 of 3 notifications could not be sent: URL 1 of 3 (json://***) answered with "
        "status 500; URL 3 of 3 (json://***) cannot be reached, or refuses it\n"
        "  next: check that URL, in --to or VXQUAL_NOTIFY, and that this machine may reach it\n"
    )
    assert [path for path, _ in told(hook)] == ["/refuse/s3cret", "/s3cret"], "others are told"


@pytest.mark.parametrize(
    ("args", "what"),
    [
        ([], "vxqual: there is nobody to tell\n  next: give --to URL, or set VXQUAL_NOTIFY"),
        (
            ["--to", "s3cret"],
            "vxqual: URL 1 of 1 (no scheme://***): apprise does not",
        ),
        (["--to", "slack://s3cret"], "vxqual: URL 1 of 1 (slack://***): apprise does not know"),
        (["--to", "json://s3cret", "--when", "never"], "'never' is not one of"),
    ],
)
def test_a_mistake_is_told_without_secrets(lab: Path, args: list[str], what: str) -> None:
    done = vxqual("notify", *args, cwd=lab)
    assert (done.returncode, done.stdout) == (4, "")
    assert what in done.stderr
    assert "s3cret" not in done.stderr


# The job


def test_a_job_is_written_and_never_overwritten(tmp_path: Path) -> None:
    done = vxqual("init", "nightly", "--for", "github", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:2] == [
        "written: .github/workflows/vxqual-nightly.yml",
        "written: nightly.sh",
    ]
    job = tmp_path / ".github/workflows/vxqual-nightly.yml"
    assert job.read_bytes() == report_file("nightly/github-actions.yml").read_bytes()
    assert (tmp_path / "nightly.sh").read_bytes() == report_file("nightly/nightly.sh").read_bytes()
    done = vxqual("init", "nightly", "--for", "systemd", ".", cwd=tmp_path)
    assert done.stdout.splitlines()[2:] == [
        "there already: nightly.sh",
        "edit them: each says at its top what it needs",
    ]
    (tmp_path / "nightly.sh").write_text("mine")
    done = vxqual("init", "nightly", "--for", "jenkins", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("vxqual: nightly.sh: it exists already, and is not overwritten\n")
    assert not (tmp_path / "Jenkinsfile").exists()
    done = vxqual("init", "nightly", cwd=tmp_path)
    assert done.returncode == 4
    assert "Missing option '--for'" in done.stderr

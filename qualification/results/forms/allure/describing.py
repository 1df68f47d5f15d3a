"""What describes a run as a whole to Allure: environment, executor, categories, configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from allure_commons.model2 import Status

from qualification.judge.verdict import Verdict
from qualification.printable import printable
from qualification.results.matrix import Matrix, NicRow

ENVIRONMENT, EXECUTOR, CATEGORIES = "environment.properties", "executor.json", "categories.json"
CONFIGURATION = "allurerc.mjs"
HISTORY = "history.jsonl"
"""In which Allure 3 keeps the results of earlier runs, beside its configuration."""

_NAMES: Mapping[Verdict, str] = {
    Verdict.FAIL: "FAIL: wrong frames, or outer checksums nobody asked for",
    Verdict.LOSS: "LOSS: frames never arrived",
    Verdict.KNOWN: "KNOWN: fails as is known",
    Verdict.UNTRUSTED: "UNTRUSTED: a control failed",
    Verdict.INCONCLUSIVE: "INCONCLUSIVE: too few frames",
    Verdict.ERROR: "ERROR: the lab failed",
    Verdict.NOT_EXERCISED: "NOT EXERCISED: the NIC had nothing to do",
    Verdict.UNSUPPORTED: "UNSUPPORTED: the NIC or the path has no such thing",
}
"""The categories, by the verdict with which the message of a test begins."""
_TREE = ["nic", "firmware", "pair", "offload_set"]
"""The labels by which Allure 3 groups tests, the outermost first."""
_MOST_NAMED = 64
"""Characters of an environment's name and id (allure's core-api, utils/environment)."""


def environment(matrix: Matrix) -> str:
    """Returns `environment.properties`: versions, and each DUT; no name of a host adds a line."""
    run = matrix.run
    found = {
        "vxqual": run.version,
        "run": run.id,
        "outcome": run.outcome,
        "plan": run.plan,
        "topology": run.topology,
        "seed": run.seed,
        "rate": f"{run.demand.rate:g}",
        "confidence": f"{run.demand.confidence:g}",
    }
    for nic in duts(matrix):
        found |= {
            f"{nic.pair}.driver": " ".join(filter(None, (nic.driver, nic.driver_version))),
            f"{nic.pair}.firmware": nic.firmware,
            f"{nic.pair}.pci_id": nic.pci_id or "unknown",
            f"{nic.pair}.kernel": nic.kernel,
        }
    return "".join(f"{printable(name)}={printable(str(text))}\n" for name, text in found.items())


def duts(matrix: Matrix) -> list[NicRow]:
    """Returns the DUTs of a run, in its order."""
    return [nic for nic in matrix.nics if nic.role == "dut"]


@dataclass(frozen=True)
class _Ci:
    """How a CI names a build: the environment variables with each value, the first that is set.

    Attributes:
        name: What `executor.json` calls it.
        type: The type by which Allure chooses an icon.
        mark: The variable that is set there, and nowhere else.
        url: The address of the project or job.
        order: A number that grows from build to build.
        build: The name of the build.
        build_url: Its address; "{NAME}" stands for the value of a variable.
    """

    name: str
    type: str
    mark: str
    url: str
    order: str
    build: str
    build_url: str


_CIS = (
    # https://docs.gitlab.com/ci/variables/predefined_variables/
    _Ci(
        "GitLab CI",
        "gitlab",
        "GITLAB_CI",
        "{CI_PROJECT_URL}",
        "CI_PIPELINE_IID",
        "{CI_JOB_NAME} #{CI_PIPELINE_ID}",
        "{CI_JOB_URL}",
    ),
    # https://docs.github.com/actions/reference/workflows-and-actions/variables
    _Ci(
        "GitHub Actions",
        "github",
        "GITHUB_ACTIONS",
        "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}",
        "GITHUB_RUN_NUMBER",
        "{GITHUB_WORKFLOW} #{GITHUB_RUN_NUMBER}",
        "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
    ),
    # https://www.jenkins.io/doc/book/pipeline/jenkinsfile/#using-environment-variables
    _Ci(
        "Jenkins",
        "jenkins",
        "JENKINS_URL",
        "{JENKINS_URL}",
        "BUILD_NUMBER",
        "{JOB_NAME} #{BUILD_NUMBER}",
        "{BUILD_URL}",
    ),
)


def executor(run: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Returns `executor.json`: who made the results, a CI where its variables are set.

    Args:
        run: The id of the run.
        environ: The environment.
    """
    ci = next((one for one in _CIS if environ.get(one.mark)), None)
    if ci is None:
        return {"name": "vxqual", "type": "vxqual", "buildName": run, "reportName": f"vxqual {run}"}
    found: dict[str, Any] = {
        "name": ci.name,
        "type": ci.type,
        "buildName": _filled(ci.build, environ) or run,
        "reportName": f"vxqual {run}",
    }
    for key, text in (("url", ci.url), ("buildUrl", ci.build_url)):
        filled = _filled(text, environ)
        if filled.startswith(("https://", "http://")):
            found[key] = filled
    order = environ.get(ci.order, "")
    return found | ({"buildOrder": int(order)} if order.isdecimal() else {})


def _filled(text: str, environ: Mapping[str, str]) -> str:
    """Returns a text with the values of variables in it; empty if one is not set."""
    names = re.findall(r"{(\w+)}", text)
    if not all(environ.get(name) for name in names):
        return ""
    return printable(text.format_map({name: environ[name] for name in names}))


def categories() -> list[dict[str, Any]]:
    """Returns `categories.json`, by which Allure 2 and Jenkins group what did not pass."""
    found: list[dict[str, Any]] = [
        {"name": name, "messageRegex": f"{verdict}: .*"} for verdict, name in _NAMES.items()
    ]
    return [*found, {"name": _OTHERS, "matchedStatuses": [Status.FAILED, Status.BROKEN]}]


_OTHERS = "NICs that are not qualified"
_SCRIPT = """\
// Allure 3 reads this: npx allure generate --config {name} .
// Written by vxqual with the results beside it, and written again with them.
import {{ fileURLToPath }} from "node:url";

const environments = {environments};
export default {{
  name: {title},
  historyPath: fileURLToPath(new URL({history}, import.meta.url)),
  appendHistory: true,
  categories: {categories},
  environments: Object.fromEntries(
    environments.map(({{ id, name, driver, variables }}) => [
      id,
      {{
        name,
        variables,
        matcher: ({{ labels }}) => labels.some((l) => l.name === "driver" && l.value === driver),
      }},
    ]),
  ),
  plugins: {{
    awesome: {{
      options: {{ singleFile: {single}, reportLanguage: "en", groupBy: {tree} }},
    }},
  }},
}};
"""


def configuration(matrix: Matrix, *, single: bool) -> str:
    """Returns `allurerc.mjs`, the configuration of Allure 3.

    It has a category for each verdict, and an environment for each driver.

    Args:
        matrix: The results of the run.
        single: Whether the site is to be one file, which opens from disk.
    """
    rules = [
        {
            "name": name,
            "matchers": [{"labels": {"verdict": f"^{verdict}$"}}],
            "groupBy": [{"label": "nic"}, {"label": "culprit"}],
        }
        for verdict, name in _NAMES.items()
    ]
    statuses = [Status.FAILED, Status.BROKEN]
    rules.append({"name": _OTHERS, "matchers": [{"statuses": statuses}]})
    return _SCRIPT.format(
        name=CONFIGURATION,
        environments=json.dumps(_environments(matrix), indent=2),
        title=json.dumps(f"vxqual {printable(matrix.run.id)}: {matrix.run.outcome}"),
        history=json.dumps(HISTORY),
        categories=json.dumps(rules, indent=2).replace("\n", "\n  "),
        single=json.dumps(single),
        tree=json.dumps(_TREE),
    )


def _environments(matrix: Matrix) -> list[dict[str, Any]]:
    """Returns the drivers of the DUTs, each with the firmware of its NICs, under a valid id."""
    found: dict[str, dict[str, Any]] = {}
    for nic in duts(matrix):
        driver = printable(nic.driver)
        name = re.sub(r"[/\\]", "_", driver)[:_MOST_NAMED].strip() or "unknown"
        id_ = re.sub(r"[^A-Za-z0-9_-]", "_", driver)[:_MOST_NAMED] or "unknown"
        if driver not in found:
            # Ids and names must differ from each other, and "default" has a meaning of its own.
            others = [(one["id"], one["name"]) for one in found.values()]
            if id_ == "default" or any(id_ == id1 or name == name1 for id1, name1 in others):
                id_ = f"driver_{len(found) + 1}"
                name = f"{name[: _MOST_NAMED - 6]} ({len(found) + 1})"
            found[driver] = {"id": id_, "name": name, "driver": driver, "variables": {}}
        found[driver]["variables"][printable(nic.pair)] = f"firmware {printable(nic.firmware)}"
    return list(found.values())

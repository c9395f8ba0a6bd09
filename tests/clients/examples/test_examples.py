"""Runs the commands of docs/clients.md, which build and start the programs in examples/, unchanged."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[3]
PAGE = ROOT / "docs" / "clients.md"
LANGUAGES = {"Go": "go", "Java": "java", "Python": "python", "Node": "typescript"}
LINES = ["7 log groups, 6 without a key", "plan: 7 log groups, 6 to change", "SUCCEEDED: 6 log groups changed"]


def section(name):
    """The section of the page with this heading."""
    return re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)[1]


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(language, service, token):
    """Runs the commands of a language. Returns the process."""
    (commands,) = blocks(section(language), "sh")
    environment = os.environ | {"LOGKEY_ADDRESS": service.address, "LOGKEY_TOKEN": token}
    script = ["bash", "-euo", "pipefail", "-c", commands]
    return subprocess.run(script, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_example_sets_all_keys_with_a_bulk_job(service, language):
    done = run(language, service, service.token("examples"))
    assert done.returncode == 0, done.stdout + done.stderr
    # Maven resets the colours of the terminal.
    text = re.sub(r"\x1b\[\d*m", "", done.stdout)
    lines = [line.removeprefix("BULK_STATE_") for line in text.splitlines() if line]
    assert lines[-3:] == LINES
    # The tenant may make two calls at once and two more per second: some calls were refused and repeated.
    assert audit(service, "--outcome", "TENANT_RATE_LIMITED") > 0
    assert [entry["operation"] for entry in service.journal()].count("AssociateKmsKey") == 6


def audit(service, *filters):
    """How many audit events match."""
    command = [service.binary, "audit", "list", "--config", str(service.folder / "logkey.toml"), "--json"]
    done = subprocess.run([*command, *filters], capture_output=True, text=True, check=True)
    return len(done.stdout.splitlines())


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_example_prints_the_reason_of_a_refusal(service, language):
    done = run(language, service, service.token("reader"))
    assert done.returncode != 0
    assert "SCOPE_MISSING: " in done.stdout + done.stderr


@pytest.mark.parametrize("language", [*LANGUAGES, "Browser"])
def test_the_code_in_the_page_is_the_code_of_the_example(language):
    text = section(language)
    folder = ROOT / "examples" / LANGUAGES.get(language, "typescript")
    sources = [
        source.read_text()
        for source in folder.rglob("*")
        if source.suffix in {".go", ".java", ".py", ".ts"} and not generated(source)
    ]
    code = [block for kind in ("go", "java", "python", "ts") for block in blocks(text, kind)]
    assert code
    for block in code:
        assert any(contains(source, block) for source in sources), f"in no file of {folder}:\n{block}"


def generated(source):
    folders = source.relative_to(ROOT / "examples").parts
    return {"gen", "generated", "keyassociation", "node_modules", "dist", "target"} & set(folders)


def contains(source, block):
    """Whether the lines of the block are consecutive lines of the source, however far they are indented there."""
    wanted = block.splitlines()
    lines = source.splitlines()
    for start in range(len(lines) - len(wanted) + 1):
        indent = len(lines[start]) - len(lines[start].lstrip())
        window = lines[start : start + len(wanted)]
        if all(not line[:indent].strip() for line in window) and [line[indent:] for line in window] == wanted:
            return True
    return False

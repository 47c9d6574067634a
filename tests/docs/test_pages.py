"""Every command line, setting, path, link and function that a page names exists."""

from __future__ import annotations

import ast
import functools
import itertools
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from classifier.cli.app import app
from classifier.training.recipes.files import available, load_recipe
from tests.docs import pages
from tests.docs.pages import NAMES, ROOT, read
from tools.pages import settings_page

FOLDERS = {"benchmarks", "classifier", "dags", "docker", "docs", "plugins", "tests", "tools"}
FUNCTION = re.compile(r"`([\w/]+\.py)`: `(\w+)`")
PROGRAM = typer.main.get_command(app)
SERVICES = set(yaml.safe_load(read("docker-compose.yml"))["services"])
COMMANDS = [(name, line) for name in NAMES for line in pages.classifier_lines(read(name))]


@pytest.mark.parametrize(("name", "line"), COMMANDS, ids=[f"{name}: {' '.join(line)}"[:90] for name, line in COMMANDS])
def test_each_command_line_is_one_that_the_program_accepts(name, line):
    assert problem(line) is None, f"{name}: classifier {' '.join(line)}"


def problem(line):
    """Return what is wrong with a command line, by the commands' parameters; values are not converted."""
    command, words = PROGRAM, list(line)
    while words and words[0].startswith("-") and getattr(command, "commands", {}):
        words.pop(0)  # an option of the program itself, such as --verbose
    while getattr(command, "commands", {}) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
        words = [] if command.context_settings.get("ignore_unknown_options") else words  # another program's options
    if getattr(command, "commands", {}) and words and not words[0].startswith("-"):
        return f"no command {words[0]}"
    options = {name: param for param in command.params for name in (*param.opts, *param.secondary_opts)}
    positional = 0
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            positional += 1
            continue
        option, _, value = word.partition("=")
        if option not in {*options, "--help"}:
            return f"no option {option}"
        if not value and option != "--help" and not options[option].is_flag and not options[option].count:
            if not words:
                continue  # the text names the option alone
            words.pop(0)
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    if positional > len(arguments) and not any(param.nargs == -1 for param in arguments):
        return f"{positional} arguments, at most {len(arguments)}"
    return None


@pytest.mark.parametrize(
    "line", [["labels"], ["label", "--no-such-option"], ["status", "of", "what"], ["db", "downgrade"]], ids=" ".join
)
def test_a_command_line_that_the_program_refuses_is_noticed(line):
    assert problem(line)


@functools.cache
def sources_of_tests():
    paths = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    return "".join(path.read_text(encoding="utf-8") for path in paths)


@pytest.mark.parametrize("name", NAMES)
def test_each_variable_is_a_setting(name):
    named = set(re.findall(r"\bCLASSIFIER_[A-Z_]*[A-Z]\b", read(name)))
    own = {
        variable for variable in named if variable in sources_of_tests() and re.search("_(TEST|BENCHMARK)_", variable)
    }
    common = {re.sub("^CLASSIFIER__NEWS__", "CLASSIFIER_", name) for name in named - own}  # of the instance `news`
    assert common <= settings_page.variables()


@pytest.mark.parametrize("name", NAMES)
def test_each_link_leads_to_a_file_and_a_heading(name):
    folder = (ROOT / name).parent
    for link in pages.links(read(name)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in pages.anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("name", NAMES)
def test_each_path_of_the_project_exists(name):
    for code in pages.inline_code(read(name)):
        word = code.split()[0].split("::")[0]
        if re.fullmatch(r"[\w./-]+", word) and "/" in word and word.split("/")[0] in FOLDERS:
            assert (ROOT / word).exists(), code


@pytest.mark.parametrize("name", NAMES)
def test_each_make_target_exists(name):
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    lines = [*pages.shell_lines(read(name)), *pages.inline_code(read(name))]
    for line in (line for line in lines if line.startswith("make ")):
        words = shlex.split(line.split("&&")[0], comments=True)[1:]
        assert {word for word in words if "=" not in word and word.isascii()} <= targets, line


@pytest.mark.parametrize("name", NAMES)
def test_each_service_of_the_stack_exists(name):
    pattern = r"docker compose (?:exec|run|logs|stop|restart)((?: -\S+(?: \d+)?)*) ([a-z-]+)"
    lines = [*pages.shell_lines(read(name)), *pages.inline_code(read(name))]
    for line in lines:
        assert {match[2] for match in re.finditer(pattern, line)} <= SERVICES, line


def test_each_variable_that_a_page_sets_for_the_stack_is_one_of_it():
    settings = read(".env.example") + read("docker-compose.yml") + read("Dockerfile")
    for name in (name for name in NAMES if "how-to" in name):
        codes = [*pages.inline_code(read(name)), *pages.shell_lines(read(name))]
        for variable in {match[1] for code in codes for match in re.finditer(r"\b((?:AIRFLOW|CPU|GPU)_\w+)=", code)}:
            assert variable in settings, (name, variable)


def test_each_function_of_the_life_of_a_row_exists():
    text = read("docs/explanation/overview.md")
    named = FUNCTION.findall(text)
    assert len(named) >= 35
    for path, function in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        assert function in {node.name for node in ast.walk(tree) if isinstance(node, kinds)}, (path, function)


def test_the_life_of_a_row_and_of_a_model_are_at_most_25_files_each():
    halves = read("docs/explanation/overview.md").split("## The life of ")[1:]
    assert [0 < len({path for path, _ in FUNCTION.findall(half)}) <= 25 for half in halves] == [True, True]


def test_each_page_is_listed_in_the_index():
    linked = {(ROOT / "docs" / link).resolve() for link in pages.links(read("docs/README.md"))}
    listed = {page for page in pages.PAGES if page.parent != ROOT and page.name != "README.md"}
    assert listed <= linked


def test_each_page_that_code_refers_to_exists():
    folders = ("classifier", "plugins", "dags", "benchmarks", "tests", "tools", "docker")
    files = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".sql", ".toml", ".sh"}
    ]
    files += [
        ROOT / name
        for name in ("docker-compose.yml", ".env.example", "sources.example.toml", "Dockerfile", "pyproject.toml")
    ]
    for file in files:
        for name in re.findall(r"\bdocs/[\w/-]+\.md", file.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), (file, name)


def test_each_picture_is_shown_by_a_page():
    linked = {(ROOT / name).parent.joinpath(link).resolve() for name in NAMES for link in pages.links(read(name))}
    assert set((ROOT / "docs").rglob("*.png")) <= linked


def test_the_readme_is_short():
    assert len(read("README.md").splitlines()) <= 90


def test_each_recipe_that_a_page_names_is_shipped_and_each_override_is_a_field():
    shipped = {recipe.name for recipe in available()}
    fields = set(load_recipe().__dataclass_fields__)
    for name, line in COMMANDS:
        for option, value in itertools.pairwise(line):
            if option == "--recipe":
                assert value in shipped or value.endswith(".toml"), name
            if option == "--set":
                assert value.split("=")[0] in fields, (name, value)


@pytest.mark.parametrize("name", NAMES)
def test_each_toml_block_can_be_read(name):
    for block in pages.blocks(read(name), "toml"):
        assert tomllib.loads(block.text)


def test_each_python_block_can_be_read():
    for name in NAMES:
        for block in pages.blocks(read(name), "python"):
            ast.parse(block.text)


def test_the_names_that_the_python_blocks_import_exist():
    for name in NAMES:
        for block in pages.blocks(read(name), "python"):
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("classifier"):
                    assert all(_defines(node.module, alias.name) for alias in node.names), (name, ast.unparse(node))


def _defines(module, name):
    """Return whether a module, or a package's file, defines a name; plugins are read and not imported."""
    for root in (ROOT, ROOT / "plugins"):
        path = root / Path(*module.split("."))
        if (path / f"{name}.py").is_file():
            return True
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file() and re.search(
                rf"^(?:def |class |from .* import .*\b)?{name}\b", file.read_text(), re.MULTILINE
            ):
                return True
    return False

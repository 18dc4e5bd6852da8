"""environment.yml, pyproject.toml and requirements.lock say the same, and say it validly."""

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from rattler import MatchSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {
    "torch": "pytorch-cpu",
    "matplotlib": "matplotlib-base",
    "playwright": "playwright-python",
    "prometheus-client": "prometheus_client",
    "redis": "redis-py",
}  # where conda-forge's name is another
CONDA_ONLY = {"python", "pip"}
OLD_PYTHON = {"tomli"}  # for Python 3.10, which environment.yml does not offer
PIP_ONLY = OLD_PYTHON | {"axe-playwright-python"}  # without it, tests that need it are skipped
PROXY = {"configurable-http-proxy"}  # conda's is Node's, and comes with JupyterHub
MODULES = {  # where what is imported has another name
    "faiss-cpu": "faiss",
    "google-crc32c": "google_crc32c",
    "ipykernel": "IPython",
    "milvus-lite": "milvus_lite",
    "pillow": "PIL",
    "prometheus-client": "prometheus_client",
    "protobuf": "google",
}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LEARNERS, TEACHERS = (
    yaml.safe_load((ROOT / name).read_text("utf-8"))
    for name in ("environment.yml", "environment-teachers.yml")
)
ENVIRONMENT = LEARNERS | {"dependencies": LEARNERS["dependencies"] + TEACHERS["dependencies"]}
LOCK = [
    line
    for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    if not line.startswith("#")
]

EXTRAS = PROJECT["project"]["optional-dependencies"]
TORCHREC = [
    Requirement(line) for line in EXTRAS.pop("torchrec")
]  # for Linux alone, and not by conda
DIRECT = {
    canonicalize_name(requirement.name): requirement.specifier
    for requirement in map(Requirement, sum(EXTRAS.values(), PROJECT["project"]["dependencies"]))
}


def locked(python: str, platform: str) -> dict[str, list[str]]:
    """The versions of every package that the lock gives this Python on this platform: one each, if
    all is well.
    """
    machine = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": platform,
        "os_name": "nt" if platform == "win32" else "posix",
        "implementation_name": "cpython",
    }
    versions = {}
    for requirement in map(Requirement, LOCK):
        if requirement.marker is None or requirement.marker.evaluate(machine):
            (pin,) = requirement.specifier
            assert pin.operator == "==", f"{requirement} is not exact"
            versions.setdefault(canonicalize_name(requirement.name), []).append(pin.version)
    return versions


@pytest.mark.parametrize("line", ENVIRONMENT["dependencies"])
def test_line_is_a_valid_conda_spec(line):
    spec = MatchSpec(line, strict=True)
    assert spec.name.normalized == line.split()[0]


def test_environment_has_the_bounds_of_the_project():
    specs = {spec.name.normalized: spec for spec in map(MatchSpec, ENVIRONMENT["dependencies"])}
    shared = {CONDA_NAMES.get(name, name): DIRECT[name] for name in set(DIRECT) - PIP_ONLY - PROXY}
    assert set(specs) - CONDA_ONLY == set(shared)
    for name, bounds in shared.items():
        assert SpecifierSet(specs[name].version) == bounds, name
    assert LEARNERS["channels"] == TEACHERS["channels"] == ["conda-forge", "nodefaults"]
    assert LEARNERS["name"] == TEACHERS["name"]


def named(lines: list[str]) -> set[str]:
    return {canonicalize_name(r.name) for r in map(Requirement, lines) if is_wanted(r)}


def test_learners_get_no_tool_of_a_teacher():
    """Neither by conda nor by pip, whatever their packages bring along; one command adds them."""
    extras = EXTRAS["test"] + EXTRAS["classroom"] + EXTRAS["hub"] + EXTRAS["book"]
    tools = named(extras)
    conda = {spec.name.normalized for spec in map(MatchSpec, LEARNERS["dependencies"])}
    assert not conda & {CONDA_NAMES.get(tool, tool) for tool in tools}

    makefile = (ROOT / "Makefile").read_text("utf-8")
    installs = re.findall(r'\$\(PIP\) --no-build-isolation -e "\.\[(.*)\]"', makefile)
    learners, teachers = ([*map(EXTRAS.get, names.split(","))] for names in installs)
    assert sum(teachers, []) == extras
    there, new = set(), named(PROJECT["project"]["dependencies"] + sum(learners, []))
    while new:
        there |= new
        brought = [metadata.requires(name) or [] for name in new]
        new = named(sum(brought, [])) - there
    assert {"torch", "jupyterlab", "nbconvert", "tornado"} <= there
    # nbconvert runs notebooks, and so do tests; Jupyter declares its events in YAML, and reads TOML
    assert there & tools <= {"nbclient", "pyyaml", "tomli"}


def is_wanted(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def test_direct_dependencies_are_bounded_on_both_sides():
    for name, bounds in DIRECT.items():
        assert sorted(bound.operator for bound in bounds) == ["<", ">="], name


def imported(file: Path) -> set[str]:
    """The top-level modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize(
    "file", sorted((ROOT / "course_lib").rglob("*.py")), ids=lambda file: file.name
)
def test_library_imports_nothing_but_direct_dependencies(file):
    direct = {
        canonicalize_name(Requirement(line).name)
        for line in PROJECT["project"]["dependencies"]
        + EXTRAS["hnswlib"]
        + EXTRAS["service"]
        + EXTRAS["redis"]
    }
    if file.name == "sharded_tables.py":
        direct |= {requirement.name for requirement in TORCHREC}
    raised = {"grpc"}  # by pymilvus, whose errors are partly grpc's
    assert imported(file) <= {
        MODULES.get(name, name) for name in direct
    } | sys.stdlib_module_names | raised | {"course_lib"}


def test_the_makefile_installs_all_of_the_lock_and_lets_only_hnswlib_fail():
    """pip has to compile hnswlib, and a student may have no compiler."""
    (line,) = [line for line in LOCK if line.startswith("hnswlib")]
    assert re.fullmatch(r"hnswlib==[\d.]+", line)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert (
        "grep -v '^hnswlib==' requirements.lock" in makefile
        and "grep '^hnswlib==' requirements.lock" in makefile
    )


def test_what_the_lock_has_for_linux_alone_is_torchrec():
    """The Makefile tells TorchRec's packages by this, and goes on without them."""
    alone = [line for line in LOCK if line.endswith("sys_platform == 'linux'")]
    for requirement in TORCHREC:
        (line,) = [line for line in alone if line.startswith(f"{requirement.name}==")]
        assert requirement.specifier.contains(next(iter(Requirement(line).specifier)).version)
        assert requirement.marker == Requirement(line).marker
    assert sum("linux" in line for line in LOCK) == len(alone)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert makefile.count("""grep "sys_platform == 'linux'$$" requirements.lock""") == 1
    assert makefile.count("""grep -v "sys_platform == 'linux'$$" > .venv/wheels.txt""") == 1


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_lock_has_one_version_of_everything_within_the_bounds(python, platform):
    versions = locked(python, platform)
    assert not {name: several for name, several in versions.items() if len(several) > 1}
    assert set(DIRECT) - set(versions) == (set() if python == "3.10" else OLD_PYTHON)
    for name in set(DIRECT) & set(versions):
        assert DIRECT[name].contains(versions[name][0]), name
    assert versions["torch"] == ["2.13.0"]
    for requirement in map(
        Requirement, PROJECT["build-system"]["requires"]
    ):  # course_lib is installed without downloads
        assert requirement.specifier.contains(versions[requirement.name][0]), requirement


def test_no_package_of_cuda_is_asked_for():
    names = [Requirement(line).name for line in LOCK] + [
        line.split()[0] for line in ENVIRONMENT["dependencies"]
    ]
    assert not [
        name for name in names if re.match(r"nvidia|cuda|cudnn|triton|.*-(gpu|cu\d+)$", name)
    ]


@pytest.mark.parametrize(
    "file",
    [
        *("pyproject.toml", "requirements.lock", "Makefile", ".ci/run"),
        *("environment.yml", "environment-teachers.yml"),
    ],
)
def test_no_address_of_a_registry(file):
    """Where packages come from is the machine's business: a mirror must work as well."""
    assert not re.findall(
        r"\w+://\S+|--(?:extra-)?index-url|--find-links|\b\w+\.(?:org|com|io|net)\b",
        (ROOT / file).read_text("utf-8"),
    )

"""Traces of solutions, hidden tests and worked solutions in what is handed to students."""

import ast
import bz2
import gzip
import html
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat

MARKED = re.compile(
    r"^[ \t]*### BEGIN (SOLUTION|HIDDEN TESTS)\n(.*?)^[ \t]*### END \1", re.M | re.S
)
ENOUGH = 16  # characters; a shorter line, such as `return results`, may stand anywhere


def bare(text: str) -> str:
    """Without white space, quotes and Markdown's signs: the same in code, in JSON and on a page."""
    return re.sub(r"[\s\"'“”‘’`*\\]", "", text.replace("\\n", "\n"))


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.replace("\\n", "\n")))


def secrets(
    exercises: Iterable[Path], published: Iterable[str]
) -> dict[tuple[Path, str], list[str]]:
    """The lines of each notebook's solutions, hidden tests and worked solutions that stand nowhere
    else.

    `published`: the texts that anybody may read. The keys are a notebook, and SOLUTION, HIDDEN
    TESTS or WORKED SOLUTION.
    """
    hidden: dict[tuple[Path, str], list[str]] = {}
    exercises = list(exercises)
    for path in exercises:
        for cell in nbformat.read(path, as_version=4).cells:
            if "worked-solution" in cell.metadata.get("tags", []):
                hidden.setdefault((path, "WORKED SOLUTION"), []).extend(cell.source.split("\n"))
                continue
            for kind, body in MARKED.findall(cell.source):
                hidden.setdefault((path, kind), []).extend(body.split("\n"))
    known = bare("\n".join([*published, *stubs(exercises)]))
    for key, lines in hidden.items():
        code = [re.sub(r"(^|  )# .*", "", line).strip().rstrip(",") for line in lines]
        hidden[key] = [
            line for line in code if len(bare(line)) >= ENOUGH and bare(line) not in known
        ]
    return hidden


def stubs(exercises: Iterable[Path]) -> list[str]:
    """What students get of each notebook's cells."""
    cells = [cell for path in exercises for cell in nbformat.read(path, as_version=4).cells]
    given = [cell for cell in cells if "worked-solution" not in cell.metadata.get("tags", [])]
    return [MARKED.sub("", cell.source) for cell in given]


def references(modules: Iterable[Path], published: Iterable[str]) -> dict[Path, list[str]]:
    """The lines of what each module of checks compares with, as far as they are not published.

    These are the functions called …_by_hand, those in `mistakes(…)`, and all that they call there.
    """
    known, secret = bare("\n".join(published)), {}
    for path in modules:
        text = path.read_text("utf-8")
        nodes = list(ast.walk(ast.parse(text)))
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        wrong = [arg for call in calls if named(call.func) == "mistakes" for arg in call.args]
        reached = [arg for arg in wrong if not isinstance(arg, (ast.Constant, ast.JoinedStr))]
        reached += [function for function in functions if function.name.endswith("_by_hand")]
        for node in reached:  # which grows on the way
            inner = list(ast.walk(node))
            names = {each.id for each in inner if isinstance(each, ast.Name)}
            names -= {each.arg for each in inner if isinstance(each, ast.arg)}
            reached += [f for f in functions if f.name in names and f not in reached]
        lines = {
            line for node in reached for line in ast.get_source_segment(text, node).split("\n")
        }
        code = sorted(re.sub(r"(^|  )# .*", "", line).strip().rstrip(",") for line in lines)
        secret[path] = [
            line for line in code if len(bare(line)) >= ENOUGH and bare(line) not in known
        ]
    return secret


def named(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def found(folder: Path, lines: Iterable[str]) -> list[tuple[str, str]]:
    """The files below the folder in which lines stand, each with the line; what is packed, too."""
    wanted = [(line, bare(line), words(line)) for line in lines]
    traces = []
    for path in filter(Path.is_file, sorted(folder.rglob("*"))):
        for text in readings(path.read_bytes()):
            within, there = bare(text), words(text)
            hits = [line for line, core, needs in wanted if needs <= there and core in within]
            traces += [(path.relative_to(folder).as_posix(), line) for line in hits]
    return traces


def readings(data: bytes) -> Iterator[str]:
    """A file's text as it is, and as a browser shows it."""
    for content in unpacked(data):
        text = content.decode("utf-8", "replace")
        yield text
        yield html.unescape(re.sub(r"<[^<>]*>", "", text))


def unpacked(data: bytes) -> Iterator[bytes]:
    yield data
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield from unpacked(archive.read(name))
    for unpack in (gzip.decompress, bz2.decompress, lzma.decompress, inventory):
        try:
            content = unpack(data)
        except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error):
            continue
        yield from unpacked(content)


def inventory(data: bytes) -> bytes:
    """Of Sphinx's objects.inv, what comes after its head."""
    return zlib.decompress(data[data.index(b"zlib.\n") + 6 :])

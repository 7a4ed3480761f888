"""Where the menu (conf/) lies and what is on it; read without Hydra, so that help and refusals are quick."""

from pathlib import Path


def folder() -> Path:
    """Absolute path of conf/: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def groups() -> dict[str, list[str]]:
    """Group name -> its options, both sorted; nested folders are parts of options, not groups."""
    found = {}
    for path in sorted(folder().iterdir()):
        if path.is_dir():
            found[path.name] = sorted(option.stem for option in path.glob("*.yaml"))
    return found


def first_comment(path: Path) -> str:
    """The first comment of a YAML that says something to people, on a line of its own or behind a key."""
    for line in path.read_text(encoding="utf-8").splitlines():
        before, mark, text = line.partition("# ")
        text = text.strip()
        if mark and text and not text.startswith("@package") and (not before.strip() or ":" in before):
            return text
    return ""

"""The command line around Hydra: kinder spelling, one-line refusals, and nothing written before all is checked.

Called by mia.__main__. Hydra itself is imported only once the arguments deserve it.
"""

import os
import re
import shutil
import sys
import traceback
from itertools import pairwise
from pathlib import Path
from typing import Any

from mia.domain.errors import ConfigurationError, MiaError
from mia.task import conf_tree

REFUSED = 2
FAILED = 1


def run(arguments: list[str]) -> int:
    """Compose, check and run; returns the process's exit code."""
    if {"-h", "--help"} & set(arguments):
        print(help_text())
        return 0
    if "--version" in arguments:
        from mia import __version__

        print(f"mia {__version__}")
        return 0
    try:
        arguments = respell(arguments)
        check(arguments)
    except MiaError as error:
        return refuse(error)
    return _hand_to_hydra(arguments)


def refuse(error: MiaError) -> int:
    """Print one line naming thing, value and remedy; the traceback only on request."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    else:
        print(f"mia: {' '.join(str(error).split())}", file=sys.stderr)
    return REFUSED


def help_text() -> str:
    """What `--help` prints: usage, tasks, groups and their options."""
    folder, groups = conf_tree.folder(), conf_tree.groups()
    tasks = "\n".join(
        f"  task={name:<12} {conf_tree.first_comment(folder / 'task' / f'{name}.yaml')}" for name in groups["task"]
    )
    rows = "\n".join(f"  {group:<12} {', '.join(names)}" for group, names in groups.items() if group != "task")
    return f"""mia learns to trade index futures and judges itself honestly.

usage: python -m mia +market=MARKET [group=option ...] [key=value ...]

  python -m mia +market=MNQ algo=qr_dqn                    market data to an out-of-sample report
  python -m mia -m +market=ES,MNQ algo=ppo,qr_dqn          several markets and algorithms: four jobs
  python -m mia -m +market=MNQ algo=qr_dqn 'seed=range(0,10)'   ten seeds, then task=compare sets them side by side
  python -m mia +market=ES source=files source.path=...    your own bars or ticks
  python -m mia +market=ES --cfg job                       the composed configuration, nothing is run

tasks (task=run is the default)
{tasks}

groups and their options (conf/GROUP/OPTION.yaml; every key in them can be set: algo.discount=...)
{rows}

flags
  -m, --multirun    run every combination of comma-separated values and ranges
  --cfg job         print the composed configuration and stop
  --version         print the version

A refused command exits with 2 and one line; HYDRA_FULL_ERROR=1 adds the traceback."""


def respell(arguments: list[str]) -> list[str]:
    """Accept `market=X` for `+market=X`, and `+group=X` for groups that already have a default."""
    defaulted = [group for group in conf_tree.groups() if group != "market"]
    spelled = []
    for argument in arguments:
        if argument.startswith("market="):
            argument = "+" + argument
        match = re.match(r"^\+(\w+)=", argument)
        if match and match.group(1) in defaulted:
            argument = argument[1:]
        spelled.append(argument)
    return spelled


def check(arguments: list[str]) -> None:
    """Compose and validate every job the arguments ask for, without creating anything.

    Raises
    ------
    ConfigurationError : the first thing that is wrong, in one line.
    """
    overrides = [a for a in arguments if (not a.startswith("-") and "=" in a) or a.startswith("~")]
    words = [a for a in arguments if not a.startswith(("-", "~")) and "=" not in a]
    skip = _values_of_flags(arguments)
    stray = [w for w in words if w not in skip]
    if stray:
        raise ConfigurationError(f"{stray[0]!r} is neither a flag nor key=value; see python -m mia --help")
    from mia.task.settings import check_task

    _check_markets(overrides)
    multirun = bool({"-m", "--multirun"} & set(arguments))
    seen: set[tuple[str, ...]] = set()
    for job in _jobs(overrides, multirun):
        # Composing takes seconds, so jobs that differ in nothing but a seed that is surely one are composed once.
        shape = tuple("seed" if re.fullmatch(r"seed=\d{1,9}", override) else override for override in job)
        if shape not in seen:
            check_task(compose(job))
        seen.add(shape)


def compose(overrides: list[str]) -> Any:
    """Compose one job through Hydra's own loader and validate it; returns the typed settings."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from mia.task import settings

    try:
        with initialize_config_dir(str(conf_tree.folder()), version_base="1.3", job_name="mia"):
            cfg = hydra_compose("config", overrides=[o for o in overrides if not o.startswith("hydra.")])
            plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigurationError(_explain(error, overrides)) from error
    return settings.from_composed(plain)


def _explain(error: Exception, overrides: list[str]) -> str:
    """Turn a Hydra or OmegaConf message into one line with a remedy."""
    text = str(error)
    missing = re.search(r"Could not find '([\w/]+)'", text)
    if missing and "/" in missing.group(1):
        group, _, option = missing.group(1).partition("/")
        options = conf_tree.groups().get(group, [])
        return f"{group} {option} does not exist; there are: {', '.join(options)}"
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown:
        from mia.task import schema

        key = unknown.group(1)
        return schema.unknown_key(key, _all_keys(key))
    ambiguous = re.search(r"Ambiguous value for argument '([^']+)'", text)
    if ambiguous:
        return f"{ambiguous.group(1)} names several values; put -m before it to run each, or quote it"
    sweep = re.search(r"Sweep parameters '([^']+)' requires --multirun", text)
    if sweep:
        return f"{sweep.group(1)} names several values; put -m before it to run each"
    append = re.search(r"Could not append to config. An item is already at '([^']+)'", text)
    if append:
        return f"+{append.group(1)}=... exists already; write {append.group(1)}=..."
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return f"{first} (in: {' '.join(overrides)})"


def _all_keys(near: str) -> list[str]:
    """Dotted keys that exist below the same top-level name, plus the names on the top level.

    Read from the files themselves: composing a second time would double the price of a typing error.
    """
    import yaml

    folder = conf_tree.folder()
    top = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    keys = {*conf_tree.groups(), *(key for key in top if key not in ("defaults", "hydra"))}

    def collect(node: Any, path: str) -> None:
        keys.add(path)
        if isinstance(node, dict):
            for name, child in node.items():
                collect(child, f"{path}.{name}")

    group = near.split(".")[0]
    for path in (folder / group).glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        collect({key: child for key, child in content.items() if key != "defaults"}, group)
    return sorted(keys)


def _check_markets(overrides: list[str]) -> None:
    """Refuse what Hydra would silently narrow: a bracketed list keeps only its last market."""
    named = [o.split("=", 1)[1] for o in overrides if o.startswith(("+market=", "market="))]
    if any(value.startswith("[") for value in named):
        raise ConfigurationError(f"market={named[0]} is a list; several markets are -m +market={named[0].strip('[]')}")
    if len(named) > 1:
        raise ConfigurationError(
            f"market is named {len(named)} times; several markets are -m +market={','.join(named)}"
        )


def _jobs(overrides: list[str], multirun: bool) -> list[list[str]]:
    """The override lists of all jobs of a sweep, or the one job."""
    if not multirun:
        return [overrides]
    from itertools import product

    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise ConfigurationError(_explain(error, overrides)) from error
    choices = []
    for override in parsed:
        if override.is_sweep_override() and not override.is_hydra_override():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            choices.append([str(override.input_line)])
    return [list(job) for job in product(*choices)]


def _values_of_flags(arguments: list[str]) -> set[str]:
    """Words that belong to the flag before them, such as `job` in `--cfg job`."""
    takes_value = {"--cfg", "-c", "--package", "-p", "--info", "-i", "--config-name", "-cn", "--config-dir", "-cd"}
    return {b for a, b in pairwise(arguments) if a in takes_value}


def _hand_to_hydra(arguments: list[str]) -> int:
    """Let Hydra create the run directory, log, sweep; collect the exit codes of the jobs."""
    import hydra
    from omegaconf import DictConfig, OmegaConf

    codes: list[int] = []

    def job(cfg: DictConfig) -> None:
        from hydra.core.hydra_config import HydraConfig

        from mia.task import run_task, settings

        directory = Path(HydraConfig.get().runtime.output_dir)
        try:
            plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
            composed = settings.from_composed(plain)
            codes.append(run_task.run(composed, plain, directory))
        except MiaError as error:
            discard(directory)
            codes.append(refuse(error))
        except KeyboardInterrupt as error:
            print(f"mia: interrupted; {error or f'what was finished is in {directory}'}", file=sys.stderr)
            codes.append(130)
            raise

    command = hydra.main(config_path=str(conf_tree.folder()), config_name="config", version_base="1.3")(job)
    saved = sys.argv
    sys.argv = [saved[0], *arguments]
    try:
        command()
    except KeyboardInterrupt:
        return 130
    finally:
        sys.argv = saved
    return max(codes, default=0)


def discard(directory: Path) -> None:
    """Remove a refused job's directory and the folders it left empty: nothing half-written stays behind."""
    shutil.rmtree(directory, ignore_errors=True)
    for parent in list(directory.parents)[:3]:
        if parent == Path.cwd() or not parent.is_dir() or any(parent.iterdir()):
            break
        parent.rmdir()

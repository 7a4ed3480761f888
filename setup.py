"""Packages conf/ into the wheel as mia/conf, where an installed copy finds it; all else is in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

CONF = Path(__file__).parent / "conf"
MENU = ["mia.conf", *(f"mia.conf.{'.'.join(p.relative_to(CONF).parts)}" for p in CONF.rglob("*") if p.is_dir())]

setup(
    packages=[*find_packages(include=["mia", "mia.*"]), *MENU],
    package_dir={"mia.conf": "conf"},
    package_data={**{package: ["*.yaml"] for package in MENU}, "mia": ["**/*.csv"]},
)

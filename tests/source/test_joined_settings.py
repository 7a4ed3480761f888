"""The example in docs/sources.md is a configuration that is accepted whole, and files.yaml joins nothing by itself."""

import yaml

from mia.source.settings import FilesSettings
from mia.task import schema


def test_the_documented_example_is_accepted(root):
    text = (root / "docs/sources.md").read_text()
    example = yaml.safe_load(text.split("```yaml")[1].split("```")[0])
    example.pop("defaults")
    plain = yaml.safe_load((root / "conf/source/files.yaml").read_text())
    made = schema.build(FilesSettings, {**plain, **example}, "source")
    assert [one.series for one in made.cross] == ["xa.vix", "xa.us10y", "xa.pair_close", "xa.nyse_tick"]
    assert made.chain.am_settled == ("SPX",)
    assert made.news.received == "received_at"
    assert made.releases.least is None


def test_nothing_is_joined_unless_it_is_declared(root):
    plain = yaml.safe_load((root / "conf/source/files.yaml").read_text())
    made = schema.build(FilesSettings, {**plain, "path": "x.csv", "label": "open"}, "source")
    assert (made.cross, made.chain, made.news, made.releases) == ((), None, None, None)

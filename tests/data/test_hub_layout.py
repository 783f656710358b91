"""The files of a configuration and a split are those that the `datasets` library would load, and nothing outside the folder."""

from pathlib import Path

import datasets
import pytest

from carto_audit.data.batch import read_batch
from carto_audit.data.hub_layout import HubChoice, chosen_files
from carto_audit.data.shards import find_shards
from carto_audit.runtime.errors import AuditError, UsageError

ROW = '{"text": "a row of %s"}\n'
FILES = ("en/train-1.jsonl", "en/train-2.jsonl", "en/test.jsonl", "de/a.jsonl", "de/extra/dev.jsonl", "other.jsonl")
CARDS = {
    "splits": """
- config_name: en
  data_files:
  - split: train
    path: en/train-*.jsonl
  - split: test
    path: [en/test.jsonl]
- config_name: de
  data_files: de/**
""",
    "one name": "\n- {config_name: en, data_files: en/test.jsonl}\n- {config_name: de, data_files: [de/*.jsonl, other.jsonl]}\n",
    "folders": "\n- config_name: en\n  data_dir: en\n- config_name: de\n  data_dir: de\n",
    "no card": None,
}


@pytest.fixture
def hub_folder(tmp_path):
    def make(configs=None, files=FILES):
        for name in files:
            (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "set" / name).write_text(ROW % name)
        if configs is not None:
            (tmp_path / "set" / "README.md").write_text(f"---\nlicense: mit\nconfigs:{configs}---\n# words\n")
        return tmp_path / "set"

    return make


@pytest.mark.parametrize("config", ["en", "de"])
@pytest.mark.parametrize("card", CARDS)
def test_what_is_read_is_what_the_library_loads(hub_folder, tmp_path, card, config):
    folder = hub_folder(CARDS[card])
    config = config if CARDS[card] else "default"
    loaded = datasets.load_dataset_builder(str(folder), config, cache_dir=str(tmp_path / "cache")).config.data_files
    wanted = {name: {str(Path(file).relative_to(folder)) for file in files} for name, files in loaded.items()}
    for split in (None, "train", "test"):
        files = {file for name, part in wanted.items() if split in (None, name) for file in part}
        choice = HubChoice(config=config, split=split)
        if files:
            delivery = find_shards([folder], choice=choice)
            assert {str(path.relative_to(folder)) for path in delivery.paths} == files
            assert len(delivery.unread) == len(FILES) - len(files)
        else:
            with pytest.raises(UsageError, match="no split is called"):
                find_shards([folder], choice=choice)


def test_without_a_configuration_the_default_is_meant_and_several_are_named(hub_folder):
    configs = "\n- {config_name: en, data_files: en/*}\n- {config_name: de, data_files: de/*, default: true}\n"
    folder = hub_folder(configs)
    assert chosen_files(folder, FILES, HubChoice(config=None, split="train")) == {"de/a.jsonl"}
    folder = hub_folder(configs.replace(", default: true", ""))
    with pytest.raises(UsageError, match=r"has several configurations; choose one with .*: en, de"):
        chosen_files(folder, FILES, HubChoice(config=None, split="train"))


@pytest.mark.parametrize(
    ("config", "split", "complaint"),
    [
        ("fr", None, r'no configuration is called "fr"; it has en, de'),
        ("en", "tset", r'no split is called "tset"; did you mean "test"'),
        ("\x1b[31m", None, r'no configuration is called "\[31m"'),
    ],
)
def test_a_name_that_is_not_there_is_a_usage_error_of_one_line(hub_folder, config, split, complaint):
    with pytest.raises(UsageError, match=complaint) as caught:
        read_batch([hub_folder(CARDS["splits"])], choice=HubChoice(config=config, split=split))
    assert "\n" not in str(caught.value)


HOSTILE = {
    "https://example.org/x.jsonl": "outside the folder",
    "hf://datasets/a/b/x.jsonl": "outside the folder",
    "zip://x.jsonl::other.jsonl": "outside the folder",
    "../beside.jsonl": "outside the folder",
    "/etc/*": "outside the folder",
    "nowhere.jsonl": r'names "nowhere\.jsonl", which is no data file here',
    "no*where": "no data file is of what was chosen",
    "*a" * 5: "a pattern of too many wildcards",
    "**/" * 5 + "x": "a pattern of too many wildcards",
    "link/*": "no data file is of what was chosen",
}


@pytest.mark.parametrize("pattern", HOSTILE)
def test_no_pattern_leads_out_of_the_folder(hub_folder, tmp_path, pattern):
    folder = hub_folder(f'\n- config_name: x\n  data_files: "{pattern}"\n')
    (tmp_path / "beside.jsonl").write_text(ROW % "beside")
    (folder / "link").symlink_to("/etc")
    with pytest.raises(AuditError, match=HOSTILE[pattern]) as caught:
        read_batch([folder], choice=HubChoice(config="x", split=None))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "configs",
    [
        " 5\n",
        "\n- 5\n",
        "\n- {data_files: x}\n",
        " [\n",
        "\n- {config_name: x, data_files: {a: b}}\n",
    ],
)
def test_a_card_that_the_library_refuses_is_one_line(hub_folder, configs):
    with pytest.raises(AuditError, match=r"set: datasets cannot tell its configurations \(.+\); name the files"):
        chosen_files(hub_folder(configs), FILES, HubChoice(config="x", split=None))


@pytest.mark.parametrize(
    ("configs", "complaint"),
    [
        ("\n- &a [x]\n- [*a, *a]\n", "repeats itself by aliases"),
        (" " + "[" * 5000 + "\n", "lists in lists without end"),
        ("\n" + "- x\n" * 70_000, "more than 256 KB of YAML"),
    ],
)
def test_a_card_of_a_few_lines_that_stand_for_much_is_refused_at_once(hub_folder, configs, complaint):
    with pytest.raises(AuditError, match=complaint):
        chosen_files(hub_folder(configs), FILES, HubChoice(config="x", split=None))


def test_only_folders_have_configurations(hub_folder):
    folder = hub_folder(CARDS["splits"])
    with pytest.raises(UsageError, match=r"other\.jsonl: .* choose from a data set folder, and this is none"):
        read_batch([folder / "other.jsonl"], choice=HubChoice(config="en", split=None))


def test_without_the_library_a_choice_names_the_extra_and_everything_else_is_read(hub_folder, monkeypatch):
    folder = hub_folder(CARDS["splits"])

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("carto_audit.data.hub_layout.import_module", missing)
    assert len(read_batch([folder])) == len(FILES)
    with pytest.raises(AuditError, match=r"pip install 'carto-audit\[hub\]', or name the files"):
        read_batch([folder], choice=HubChoice(config="en", split=None))

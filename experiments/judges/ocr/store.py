"""The folder of a judged run: what it was made of, and records that are only added to."""

import json

import config


def read_done(path, lines_judged):
    """(variant, layers, seed) of what is in a file of records for every line. What a killed run left
    incomplete is taken out of the file."""
    if not path.exists():
        return set()
    content = path.read_bytes()
    groups = {}
    for line in content[:content.rfind(b"\n") + 1].splitlines(keepends=True):
        record = json.loads(line)
        groups.setdefault((record["variant"], record["layers"], record["seed"]), []).append(line)
    done = {key: group for key, group in groups.items() if len(group) == lines_judged}
    kept = b"".join(line for group in done.values() for line in group)
    if len(kept) != len(content):
        beside = path.with_suffix(".kept")
        beside.write_bytes(kept)
        beside.replace(path)
    return set(done)


def open_folder(folder, about, settings, machine):
    """Makes the folder of a run, or takes up one that was made by the same set-up."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "setup.json"
    if path.exists():
        if json.loads(path.read_text()) != about:
            raise config.Mistake(f"{path}: made by another task, program or version; "
                                 "--results FOLDER takes another folder")
    else:
        path.write_text(json.dumps(about, indent=1) + "\n")
        (folder / "machine.json").write_text(json.dumps(machine, indent=1) + "\n")
    (folder / "experiment.cfg").write_text(settings.text())
    return read_done(folder / "trials.jsonl", settings["lines"])

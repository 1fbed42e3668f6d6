"""Brings the figures of recorded runs and the pictures of docs/pictures up to date, or says which are
not. A figure is up to date if it shows the same words and numbers (common.content_of); a picture of
matrices, if it has the same pixels."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import all as all_figures
import common
import lra_figure
import matplotlib
import numpy
import PIL.Image
from figures_of_rows import Mistake

# Colour maps have 256 steps: a weight that rounding moves over the edge of one changes a channel by
# some 3, and by 8 at the most in the maps used.
STEP = 8


def run(arguments, folder, env=None):
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, env=env)
    if done.returncode:
        raise Mistake(f"{' '.join(map(str, arguments))[:200]}: {done.stderr.strip()[-500:]}")


def kept_figures(source):
    """{run's folder: names} of the figures that are there, and of those that pages show."""
    kept = {}
    for path in (source / "results" / "recorded").glob("*/figures/*.*"):
        kept.setdefault(path.parent.parent, set()).add(path.name)
    for page in [source / "README.md", *(source / "docs").glob("*.md")]:
        for name, figure in re.findall(r"results/recorded/(\w+)/figures/(\w+\.png)",
                                       page.read_text(encoding="utf-8")):
            kept.setdefault(source / "results" / "recorded" / name, set()).add(figure)
    # What a model judged has trials, no points, and a figure of its own.
    return {folder: names for folder, names in kept.items()
            if not (folder / "trials.jsonl").exists()}


# Figures of several runs, which stand in a folder of their own beside one another.
OF_SEVERAL = (lra_figure,)


def draw_run(run_folder, out):
    """What all.draw returns, or of a folder of runs the figures of several; with no folder `out`, names
    and contents."""
    with matplotlib.rc_context(common.RC):
        if (run_folder / "points.jsonl").exists():
            return all_figures.draw(common.load([run_folder]), out)
        return [drawn for figure in OF_SEVERAL
                for drawn in figure.draw_runs([run_folder / name for name in figure.RUNS], out)]


def stale_figures(run_folder, names):
    """Those of `names` that do not show what the records say. Raises Mistake for one that no script
    draws of this run."""
    contents = dict(draw_run(run_folder, None))
    stale = []
    for name in sorted(names):
        path = run_folder / "figures" / name
        content = contents.get(path.stem)
        if content is None:
            raise Mistake(f"{path}: no script draws it; drawn are {', '.join(contents)}")
        if not path.exists() or content.encode() not in path.read_bytes():
            stale.append(name)
    return stale


def redraw(run_folder, names, scratch):
    drawn = scratch / run_folder.name
    draw_run(run_folder, drawn)
    for name in names:
        (run_folder / "figures").mkdir(exist_ok=True)
        shutil.copy(drawn / name, run_folder / "figures" / name)


def picture_scripts(source):
    """The commands that pages give for docs/pictures, as one script for each page."""
    for page in sorted((source / "docs").glob("*.md")):
        lines, inside = [], False
        for line in page.read_text(encoding="utf-8").split("\n"):
            if line.startswith("```"):
                inside = not inside
            elif inside and (re.match(r"[A-Z]+=", line) or "--picture docs/pictures/" in line):
                lines.append(line)
        if any("--picture" in line for line in lines):
            yield "\n".join(lines)


def draw_pictures(source, program, scratch):
    """Runs the pages' commands in a folder of their own; returns the folder of pictures."""
    (scratch / "docs" / "pictures").mkdir(parents=True)
    (scratch / "subquad").symlink_to(program)
    for script in picture_scripts(source):
        run(["bash", "-e", "-c", script], scratch,
            os.environ | {"PATH": f"{scratch}:{os.environ['PATH']}"})
    return scratch / "docs" / "pictures"


def same_picture(before, after):
    with PIL.Image.open(before) as old, PIL.Image.open(after) as new:
        if old.info.get("Software") != new.info.get("Software"):
            return old.size == new.size  # another matplotlib: letters differ
        if old.size != new.size:
            return False
        first, second = (numpy.asarray(image.convert("RGB"), dtype=int) for image in (old, new))
    return int(numpy.abs(first - second).max()) <= STEP


def bring_up_to_date(source, program, check):
    """Whether all was up to date; says what was not."""
    good = True
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        for run_folder, names in sorted(kept_figures(source).items()):
            stale = stale_figures(run_folder, names)
            good = good and not stale
            for figure in stale:
                print((run_folder / "figures" / figure).relative_to(source))
            if stale and not check:
                redraw(run_folder, stale, scratch)
        pictures = source / "docs" / "pictures"
        for drawn in sorted(draw_pictures(source, pathlib.Path(program).resolve(), scratch).iterdir()):
            kept = pictures / drawn.name
            if kept.exists() and same_picture(kept, drawn):
                continue
            good = False
            print(kept.relative_to(source))
            if not check:
                shutil.copy(drawn, kept)
    return good

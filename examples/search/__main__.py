"""Search Python's own documentation by what it means, with a real model on this machine: `make example-search`.

It starts the endpoint of `model.py`, turns the docstrings of the standard library into vectors with `embed`, and finds
with `nearest` what answers a few questions. No key and no network are needed once the model is installed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

import tidyllm as tl
from examples.demo import docstrings, standard_library, started
from examples.search.model import MODEL

HERE = Path(__file__).parent
MODEL_PYTHON = HERE.parents[1] / ".venv-search" / "bin" / "python"
START_S_MAX = 120.0
FOUND = 3
FIRST_LINE_CHARACTERS = 100
QUESTIONS = (
    "pick random elements from a list without repeating any",
    "make a file smaller by compressing it",
    "run a command and get its output",
    "how similar are two pieces of text?",
    "find out how many days lie between two dates",
    "wait until several threads have reached the same point",
    "read options and arguments from the command line",
    "cut a text into pieces wherever a pattern matches",
    "turn an object into bytes and back again",
    "the middle value of some numbers",
)


def documentation() -> pl.DataFrame:
    """Return a table of the standard library's public functions and classes, with how their docstrings begin."""
    rows = [row for name, path in standard_library() for row in docstrings(name, path)]
    first_paragraph = pl.col("text").str.split("\n\n").list.first()
    return pl.DataFrame(rows).with_columns(text=pl.format("{}.{}: {}", "module", "name", first_paragraph))


def search(texts: pl.DataFrame, questions: tl.Model) -> pl.DataFrame:
    """Return for each question the texts that come nearest to it."""
    asked = tl.embed(list(QUESTIONS), questions)
    found = tl.nearest(asked, texts, k=FOUND)
    return pl.concat(
        [
            asked[found["query_row"]].select(question="input"),
            texts[found["corpus_row"]].select("text"),
            found.select("rank", "similarity"),
        ],
        how="horizontal",
    )


def told(found: pl.DataFrame) -> None:
    """Print what was found, for a person to judge."""
    for row in found.iter_rows(named=True):
        if row["rank"] == 1:
            print(f"\n{row['question']}")
        first = row["text"].partition("\n")[0][:FIRST_LINE_CHARACTERS]
        print(f"  {row['similarity']:.2f}  {first}")


def main() -> int:
    """Run the example; return 0 when every text has a vector."""
    parser = argparse.ArgumentParser(prog="python -m examples.search", description=__doc__)
    parser.add_argument("--model-python", default=str(MODEL_PYTHON), help="the Python that has requirements.txt")
    given = parser.parse_args()
    texts = documentation()
    with tempfile.TemporaryDirectory(prefix="tidyllm-search-") as folder:
        print("Starting the model; it takes some seconds to load.", flush=True)
        command = [given.model_python, str(HERE / "model.py")]
        with started(command, log=Path(folder) / "model.log", start_s_max=START_S_MAX) as url:
            provider = tl.chat_completions(MODEL, base_url=url)
            print(f"Making vectors of {texts.height:,} docstrings, which takes a minute or two.", flush=True)
            begun = time.monotonic()
            texts = tl.embed(texts, provider, column="text")
            print(f"That took {time.monotonic() - begun:.0f} s.", flush=True)
            told(search(texts, provider))
    return 0 if texts["embeddings"].null_count() == 0 else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)

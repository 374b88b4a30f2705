"""Messages in the words of the command line."""

import pytest

from tidyllm.cli.main import batch_options
from tidyllm.cli.wording import in_commands


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "Wait for it, or fetch what there is with partial=True.",
            "Wait for it, or fetch what there is with --partial.",
        ),
        ("so that no budget= can hold: leave it out", "so that no --budget can hold: leave it out"),
        ("more than budget=0.5, with", "more than --budget 0.5, with"),
        ("more tokens than queue_tokens= allows", "more tokens than --queue-tokens allows"),
        ("give its id and provider=.", "give its id and --provider."),
        ("with adopt= and the id, or with adopt='none' where", "with --adopt and the id, or with --adopt 'none' where"),
        ("say embed=, not prompt=.", "say --embed, not --prompt."),
        ("wait_batch('a.b') sends what is left", "tidyllm batch wait a.b sends what is left"),
        ("list_batches has these; send_batch again", "tidyllm batch list has these; tidyllm batch send again"),
        # What the command has no option for, and what Python shows of a value, stays.
        ("as max_tokens= allows", "as max_tokens= allows"),
        (
            "of openai('m', base_url='http://x', api='y') in a batch",
            "of openai('m', base_url='http://x', api='y') in a batch",
        ),
        ("https://x/?budget=1&name=2", "https://x/?budget=1&name=2"),
        ("as in --param temperature=0", "as in --param temperature=0"),
        ("say what, as in prompt='Explain: {a}'.", "say what, as in --prompt 'Explain: {a}'."),
    ],
)
def test_verbs_and_options_are_called_as_the_command_line_has_them(said: str, told: str) -> None:
    assert in_commands(said, options=batch_options()) == told


@pytest.mark.parametrize(
    "said",
    [
        "There is no file send_batches.csv, and none in /home/me/fetch_batch/new or fetch_batch-2/.",
        "There is no column 'set budget=5 as retry_batch does'. The columns are: retry_batch, limit=, b. Look again.",
        'There is no column "it\'s name=True".',
        'Other content:\n  prompt: was "Use name=True: {a}", now "…name=False: {a}"\nGive this one another name.',
        "Other content:\n  data: row 1: its 'a' was 'budget=5 is…, now 'budget=6 is…\nGive this one another name.",
        "openai answered 400: Unknown model=gpt-9,\nbudget=10 is passed: see fetch_batch",
        "openai answered 200, but with an error: name=True",
        "openai answered with something else than its documentation says (limit=): budget=3",
    ],
)
def test_what_others_have_written_stays_as_it_is(said: str) -> None:
    assert in_commands(said, options=batch_options()) == said


def test_what_is_ours_beside_it_is_told_all_the_same() -> None:
    said = (
        "openai refused the batch b; nothing was run.\n  name=True is wrong\nretry_batch('b.c') sends it again. "
        "It answered 301: no name= It points to /x, and redirects are not followed: give the right base_url=."
    )
    told = (
        "openai refused the batch b; nothing was run.\n  name=True is wrong\ntidyllm batch retry b.c sends it again. "
        "It answered 301: no name= It points to /x, and redirects are not followed: give the right --base-url."
    )
    assert in_commands(said, options=batch_options()) == told


def test_what_was_typed_stays_as_it_was_typed() -> None:
    said = "There is no folder fetch_batch to write limit= into: see list_batches, or give budget=."
    told = "There is no folder fetch_batch to write limit= into: see tidyllm batch list, or give --budget."
    typed = ["fetch", "--out", "fetch_batch/x.csv", "limit="]
    assert in_commands(said, options=batch_options(), typed=typed) == told

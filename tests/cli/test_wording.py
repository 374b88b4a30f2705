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
    ],
)
def test_verbs_and_options_are_called_as_the_command_line_has_them(said: str, told: str) -> None:
    assert in_commands(said, options=batch_options()) == told

from tidyllm.core.batch import BatchStatus, BatchUsage, UsageSum


def test_four_states_are_the_end() -> None:
    assert {status.value for status in BatchStatus if status.ended} == {"completed", "failed", "expired", "cancelled"}


def test_usage_adds_up_field_by_field() -> None:
    one = BatchUsage(input_tokens=1, cached_tokens=2, output_tokens=3, reasoning_tokens=4)
    both = UsageSum()
    both.add(one)
    both.add(one)
    assert both.total() == BatchUsage(input_tokens=2, cached_tokens=4, output_tokens=6, reasoning_tokens=8)

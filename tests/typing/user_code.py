"""What users write, for type checkers alone: `test_typing.py` has it checked, and nothing runs it."""

from pathlib import Path
from typing import Literal, assert_type

import msgspec
import polars as pl

import tidyllm as tl
from tidyllm import compat, errors
from tidyllm.testing import Behavior, Player, play, record, simulated_model


def conversations() -> None:
    talk = assert_type(tl.llm_message("Who was Konrad Zuse?", system="Be brief."), tl.LLMMessage)
    talk = talk.chat(tl.openai("gpt-6-luna", temperature=0, max_tokens=200))
    talk = assert_type(talk.message("And in which year did the Z3 run?").chat("openai/gpt-6-luna"), tl.LLMMessage)
    assert_type(talk.reply(), str)
    assert_type(talk.metadata(), pl.DataFrame)
    assert_type(talk.logprobs(), pl.DataFrame)
    assert_type(talk.to_frame(), pl.DataFrame)
    assert_type(tl.LLMMessage.from_frame(talk.to_frame()), tl.LLMMessage)
    assert_type(tl.LLMMessage.from_json(talk.to_json()), tl.LLMMessage)
    print(talk)
    assert_type(tl.chat("Hi", tl.openai()).reply(), str)


class Review(msgspec.Struct):
    stars: int
    mood: Literal["good", "bad"]


def answers_as_data() -> None:
    fields = tl.tidyllm_schema("Review", stars=tl.field_int("1 to 5"), moods=tl.field_fct(levels=["good"], vector=True))
    for schema in (Review, bool, list[str], Literal["a", "b"], str | None, {"type": "string"}, fields):
        assert_type(tl.chat("Rate it.", tl.openai(), schema=schema, reask=True).reply_data(), object)
    talk = tl.llm_message("Rate it.").chat(tl.openai(), schema=Review)
    review = talk.reply_data()
    if isinstance(review, Review):
        print(review.stars)
    assert_type(tl.stream("Rate it.", tl.openai(), schema=Review).result(), tl.LLMMessage)


def several_at_once(table: pl.DataFrame) -> None:
    texts = ["What is 1 + 1?", "What is 2 + 2?"]
    talks = assert_type(tl.chat(texts, tl.openai()), list[tl.LLMMessage])
    talks = tl.chat([talk.message("Sure?") for talk in talks], tl.openai())
    mixed: list[str | tl.LLMMessage] = ["Hi", *talks]
    assert_type(tl.chat(mixed, tl.openai()), list[tl.LLMMessage])
    prompts = [f"Is this review positive? {review}" for review in table["review"]]
    answers: list[str] = [talk.reply() for talk in tl.chat(prompts, tl.openai())]
    table.with_columns(pl.Series("answer", answers))


def images_and_files(photos: pl.DataFrame) -> None:
    talk = assert_type(tl.llm_message("What is on this?", media=tl.image("photo.jpg")), tl.LLMMessage)
    talk = talk.message("And on these?", media=[tl.image(b"..."), tl.file(Path("report.pdf"))])
    assert_type(talk.media, tuple[tl.Media, ...])
    assert_type(tl.chat(photos, tl.claude(), prompt="What is on this?", media="photo"), pl.DataFrame)
    assert_type(tl.chat(photos, tl.claude(), prompt="Compare.", media=["one", "two"], dry_run=True), tl.RunPlan)
    mixed: list[str | tl.Media] = ["a cat", tl.image("photo.jpg")]
    assert_type(tl.embed(mixed, tl.voyage("voyage-multimodal-3.5")), pl.DataFrame)
    assert_type(tl.embed(photos, tl.voyage("voyage-multimodal-3.5"), media="photo"), pl.DataFrame)
    assert_type(tl.embed(tl.image("photo.jpg"), tl.gemini("gemini-embedding-2"), dry_run=True), tl.Preview)


def dry_runs() -> None:
    talk = tl.llm_message("Hi")
    assert_type(tl.chat("Hi", "openai", dry_run=True), tl.Preview)
    assert_type(tl.chat(talk, "openai", dry_run=True), tl.Preview)
    assert_type(tl.chat(["Hi", "Ho"], "openai", dry_run=True), list[tl.Preview])
    assert_type(tl.stream(talk, "openai", dry_run=True), tl.Preview)
    assert_type(tl.embed("Hi", "openai", dry_run=True), tl.Preview)
    assert_type(tl.embed(["Hi", "Ho"], "openai", dry_run=True), list[tl.Preview])
    assert_type(tl.list_models("openai", dry_run=True), tl.Preview)
    assert_type(tl.list_batches("openai", dry_run=True), tl.Preview)
    assert_type(tl.check_batch("reviews", dry_run=True), list[tl.Preview])
    preview = tl.chat("Hi", tl.openai(), dry_run=True)
    print(preview.url, preview.body, preview)


def streams() -> None:
    for piece in tl.stream("Tell me more.", tl.openai()):
        print(piece.upper(), end="", flush=True)
    with tl.stream(tl.llm_message("Hi"), tl.openai()) as answer:
        assert_type(next(answer), str)
        assert_type(answer.result(), tl.LLMMessage)


async def the_asynchronous_twins() -> None:
    assert_type(await tl.achat("Hi", tl.openai()), tl.LLMMessage)
    assert_type(await tl.achat(["Hi", "Ho"], tl.openai()), list[tl.LLMMessage])
    assert_type(await tl.achat("Hi", tl.openai(), dry_run=True), tl.Preview)
    async for piece in tl.astream("Hi", tl.openai()):
        print(piece.upper())
    assert_type(await tl.astream("Hi", tl.openai()).result(), tl.LLMMessage)
    assert_type(await tl.aembed(["Hi"], tl.openai()), pl.DataFrame)
    assert_type(await tl.aembed(pl.DataFrame({"text": ["Hi"]}), tl.openai()), pl.DataFrame)
    assert_type(await tl.alist_models(tl.openai()), pl.DataFrame)
    job = await tl.asend_batch(["Hi"], tl.openai(), name="greetings")
    await tl.await_batch(job)
    assert_type(await tl.afetch_batch(job), pl.DataFrame)


def options(key_file: Path) -> None:
    model = tl.openai(
        "gpt-6-luna",
        temperature=0,
        max_tokens=1000,
        top_p=0.9,
        seed=7,
        stop=["END", "STOP"],
        effort="low",
        thoughts=True,
        logprobs=3,
        extra={"verbosity": "low", "metadata": {"project": "reviews"}},
        base_url="https://eu.api.openai.com/v1",
        headers={"OpenAI-Organization": "org-1"},
        api_key=lambda: key_file.read_text().strip(),
        timeout_s=30,
    )
    assert_type(model, tl.Model)
    assert_type(tl.openai, tl.Provider)
    models: list[tl.Model | str] = [model, tl.local("my-model", stop="END", logprobs=True), "openai/gpt-6-luna"]
    for one in models:
        print(tl.chat("Hi", one).reply())


def tables_as_batches(reviews: pl.DataFrame) -> None:
    provider = tl.local("my-model")
    job = tl.send_batch(reviews, provider, prompt="Is this positive or negative? {review}", name="reviews")
    assert_type(job, tl.Job)
    tl.wait_batch(job)
    answers = assert_type(tl.fetch_batch("reviews"), pl.DataFrame)
    answers.filter(pl.col("llm_status") == "ok")
    assert_type(tl.list_batches(provider), pl.DataFrame)
    assert_type(tl.check_batch(job), pl.DataFrame)
    assert_type(tl.cancel_batch("batch_1", provider), pl.DataFrame)
    assert_type(tl.rate_limit_info(), pl.DataFrame)
    assert_type(tl.embed(["a", "b"], tl.openai("text-embedding-3-small", dimensions=256)), pl.DataFrame)
    assert_type(tl.embed(reviews, tl.openai(), column="review", on_error="raise"), pl.DataFrame)
    assert_type(reviews.pipe(tl.embed, tl.openai(), column="review"), pl.DataFrame)
    assert_type(tl.embed(reviews["review"], tl.openai()), pl.DataFrame)
    assert_type(tl.embed(reviews, "openai", column="review", dry_run=True), list[tl.Preview])
    found = assert_type(tl.nearest(tl.embed("Good coffee?", tl.openai()), reviews, k=3), pl.DataFrame)
    assert_type(tl.nearest(tl.to_numpy(reviews), reviews["embeddings"]), pl.DataFrame)
    assert_type(reviews[found["corpus_row"]], pl.DataFrame)
    assert_type(tl.list_models(tl.openai()), pl.DataFrame)


def what_can_go_wrong() -> str | None:
    try:
        return tl.chat("Hi", tl.openai()).reply()
    except errors.RateLimitError as error:
        print(error.retry_after_s, error.request_id, error.status, error.provider)
    except errors.MissingKeyError:
        print("Set OPENAI_API_KEY.")
    except tl.errors.ApiError as error:
        print(error.request_id)
    except errors.TidyllmError as error:
        print(error)
    try:
        tl.chat(["Hi", "Ho"], tl.openai())
    except errors.PartlyFailedError as error:
        answered = [result for result in error.results if isinstance(result, tl.LLMMessage)]
        print([talk.reply() for talk in answered])
    return None


def tests_of_their_own(folder: Path) -> None:
    player = assert_type(play("exchanges/", folder / "one.json"), Player)
    with tl.using(player):
        assert tl.chat("Hi", tl.openai()).reply() == "Hello."
    assert [request.method for request in player.sent] == ["POST"]
    with tl.using(record(folder)):
        tl.chat("Hi", tl.openai())
    with simulated_model(Behavior(error_rate=0.1)) as model:
        tl.chat("Hi", tl.local("any", base_url=model.base_url))


def names_of_the_r_package(talk: tl.LLMMessage, table: pl.DataFrame) -> None:
    assert_type(compat.df_llm_message(table), tl.LLMMessage)
    assert_type(compat.last_reply(talk), str | None)
    assert_type(compat.get_metadata(talk, 0), pl.DataFrame)

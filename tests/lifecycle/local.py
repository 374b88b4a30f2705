"""Our own server, as its clients see it: an id of a file that there is not is null."""

from tests.lifecycle.fakes import OpenAIBatches


class FAKE(OpenAIBatches):
    provider = "local"
    model = "qwen3"
    absent = None

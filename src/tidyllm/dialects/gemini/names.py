"""What a model is called: by people `gemini-3.8-flash`, by the API `models/gemini-3.8-flash`; spec/gemini 2 and 7."""

from urllib.parse import quote

_MODELS, _TUNED = "models/", "tunedModels/"


def bare(model: str) -> str:
    """Return the name that people use; a tuned model keeps its `tunedModels/`."""
    return model.removeprefix(_MODELS)


def resource(model: str) -> str:
    """Return the name that the API uses, however the model was named."""
    return model if model.startswith((_MODELS, _TUNED)) else _MODELS + model


def url_path(model: str) -> str:
    """Return the same as it stands in a URL, with its slash before it."""
    kind, _, name = resource(model).partition("/")
    return f"/{kind}/{quote(name, safe='')}"

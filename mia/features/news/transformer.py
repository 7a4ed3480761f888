"""Sentiment by a language model of the user's own; optional, loaded only when `news.sentiment=transformer`.

A model trained, or tuned, on text from after a tested day may know how that day ended: its scores look ahead in a
way no test can see. Use one older than the data it reads, or the lexicon.
"""

from math import exp
from pathlib import Path

from mia.domain.errors import ConfigurationError

_MOST_WORDS = 128


class TransformerReader:
    """Reads headlines with a sequence classifier that knows labels called positive and negative.

    Parameters
    ----------
    folder : local folder with config.json, a tokenizer and *.safetensors; nothing is fetched, no code from it runs

    Raises
    ------
    ConfigurationError : if the extra is not installed, or the folder holds no such model.
    """

    def __init__(self, folder: str) -> None:
        path = Path(folder).expanduser()
        if not (path / "config.json").is_file() or not any(path.glob("*.safetensors")):
            raise ConfigurationError(
                f"news.model {folder} is no folder with config.json and *.safetensors; name a local model, or use "
                "news.sentiment=lexicon"
            )
        try:
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
        except ImportError:
            raise ConfigurationError(
                "news.sentiment=transformer needs the package transformers; install the extra, "
                "pip install 'mia-futures[sentiment]', or use news.sentiment=lexicon"
            ) from None
        options = {"local_files_only": True, "trust_remote_code": False}
        self._tokenizer = AutoTokenizer.from_pretrained(path, **options)
        self._model = AutoModelForSequenceClassification.from_pretrained(path, use_safetensors=True, **options).eval()
        labels = {str(name).lower(): int(k) for k, name in self._model.config.id2label.items()}
        if not {"positive", "negative"} <= labels.keys():
            raise ConfigurationError(
                f"news.model {folder} knows the labels {', '.join(sorted(labels))}; it needs positive and negative"
            )
        self._positive, self._negative = labels["positive"], labels["negative"]

    def __call__(self, headline: str) -> float:
        """Probability of positive less that of negative, one headline at a time so that batches cannot differ."""
        tokens = self._tokenizer(headline, return_tensors="pt", truncation=True, max_length=_MOST_WORDS)
        logits = self._model(**tokens).logits[0].detach().double().numpy()
        weights = [exp(float(x)) for x in logits - logits.max()]
        return (weights[self._positive] - weights[self._negative]) / sum(weights)

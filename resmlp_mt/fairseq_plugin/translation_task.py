"""The translation task with validation BLEU: `--task resmlp_translation --eval-bleu` agrees with `resmlp-mt evaluate`.

fairseq's own task decodes the references from their sub-words, so they differ from the original text. This task reads
the raw references from the data folder and decodes translations as a bundle does. BLEU ignores case if the data were
prepared with --lowercase: otherwise it would hardly measure the translations of such a model.
"""

# No `from __future__ import annotations` here: fairseq reads the types of configuration fields.
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq import utils
from fairseq.data import BaseWrapperDataset, Dictionary, FairseqDataset
from fairseq.models import BaseFairseqModel
from fairseq.tasks import TASK_REGISTRY, register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from sacrebleu.metrics import BLEU, BLEUScore

from resmlp_mt.common.data_manifest import read_manifest
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.registration import assert_registered
from resmlp_mt.translation.bundle.packaging import read_segmenter, text_settings
from resmlp_mt.translation.evaluation.scores import bleu_tokenizer
from resmlp_mt.translation.text.lines import read_lines

NAME = "resmlp_translation"
SAMPLES = 5


@dataclass
class ResMLPTranslationConfig(TranslationConfig):
    """fairseq's options of a translation task; the default of `eval_bleu_args` is a bundle's."""

    eval_bleu_args: str = field(
        default='{"beam": 4}',
        metadata={"help": 'options of the search for --eval-bleu, e.g. \'{"beam": 4, "lenpen": 0.6}\', as JSON'},
    )


class WithReferences(BaseWrapperDataset):
    """Sentence pairs whose batches also contain the raw references, under "references".

    Args:
        dataset: the sentence pairs.
        references: the raw reference of each pair.
    """

    def __init__(self, dataset: FairseqDataset, references: list[str]) -> None:
        super().__init__(dataset)
        self.references = references

    def collater(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Makes a batch of samples."""
        batch = super().collater(samples)
        if batch:
            batch["references"] = [self.references[index] for index in batch["id"].tolist()]
        return batch


@register_task(NAME, dataclass=ResMLPTranslationConfig)
class ResMLPTranslationTask(TranslationTask):
    """fairseq's translation task with a validation BLEU on the raw references.

    Args:
        cfg: options of the task.
        src_dict: dictionary of the source language.
        tgt_dict: dictionary of the target language.
    """

    def __init__(self, cfg: ResMLPTranslationConfig, src_dict: Dictionary, tgt_dict: Dictionary) -> None:
        super().__init__(cfg, src_dict, tgt_dict)
        self._data = Path(utils.split_paths(cfg.data)[0])
        self._source_tokenizer = self._tokenizer = None
        self._ignores_case = False
        self._samples: list[dict[str, Any]] = []
        if cfg.eval_bleu:
            manifest = read_manifest(self._data)
            self._ignores_case = text_settings(manifest).lowercase
            self._source_tokenizer = read_segmenter(self._data, cfg.source_lang, list(src_dict.symbols), manifest)
            self._tokenizer = read_segmenter(self._data, cfg.target_lang, list(tgt_dict.symbols), manifest)

    def load_dataset(self, split: str, epoch: int = 1, combine: bool = False, **options: Any) -> None:
        """Loads a split; with --eval-bleu, also the raw references of validation and test splits.

        Raises:
            ResMLPError: if the references are missing, or their number differs from the number of sentences.
        """
        super().load_dataset(split, epoch, combine, **options)
        if self.cfg.eval_bleu and split != self.cfg.train_subset:
            path = self._data / "raw" / f"{split}.{self.cfg.target_lang}"
            remedy = "prepare the data with `python -m data_prep`, or copy the raw references there"
            if not path.is_file():
                raise ResMLPError(f"the raw references {path} for --eval-bleu are missing; {remedy}")
            references = read_lines(path)
            pairs = len(self.datasets[split])
            if len(references) != pairs:
                raise ResMLPError(f"{path} has {len(references)} lines, but the split has {pairs}; {remedy}")
            self.datasets[split] = WithReferences(self.datasets[split], references)

    def _inference_with_bleu(self, generator: Any, sample: dict[str, Any], model: BaseFairseqModel) -> BLEUScore:
        """Translates a batch; fairseq sums the n-gram counts of all batches and processes."""
        results = self.inference_step(generator, [model], sample)
        texts = [self._tokenizer.decode(hypotheses[0]["tokens"].tolist()) for hypotheses in results]
        if self.cfg.eval_bleu_print_samples:
            index = random.randrange(len(texts))
            print(f"translation: {texts[index]}\nreference: {sample['references'][index]}")
        self._keep_sample(sample, texts[0])
        metric = BLEU(lowercase=self._ignores_case, tokenize=bleu_tokenizer(self.cfg.target_lang))
        return metric.corpus_score(texts, [sample["references"]])

    def _keep_sample(self, sample: dict[str, Any], text: str) -> None:
        """Stores the first sentence of a batch; the batches are the same in every validation."""
        source = utils.strip_pad(sample["net_input"]["src_tokens"][0], self.src_dict.pad())
        self._samples.append(
            {
                "id": int(sample["id"][0]),
                "source": self._source_tokenizer.decode(source.tolist()),
                "reference": sample["references"][0],
                "output": text,
            }
        )

    def take_samples(self) -> list[dict[str, Any]]:
        """Returns and clears a few samples of the last validation, of all lengths, for the record of the training."""
        samples, self._samples = self._samples, []
        count = min(SAMPLES, len(samples))
        return [samples[len(samples) * index // count] for index in range(count)]


assert_registered(TASK_REGISTRY, NAME, ResMLPTranslationTask)

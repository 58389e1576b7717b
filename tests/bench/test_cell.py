"""A cell's id: it changes with all that can change a result, and with nothing else."""

from __future__ import annotations

import pytest

from records.cell import Budget, Cell

CELL = Cell(
    backbone="embedded:minilm-l6",
    backbone_revision="0.1.0",
    method="lora",
    label="lora",
    hyperparameters={"rank": 8, "lr": 1e-3},
    method_revision="1",
    task="imdb",
    task_revision="1",
    seed=0,
    precision="auto",
    budget=Budget(),
)


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "other"},
        {"backbone_revision": "0.2.0"},
        {"method": "dora"},
        {"hyperparameters": {"rank": 16, "lr": 1e-3}},
        {"method_revision": "2"},
        {"task": "bbc_news"},
        {"task_revision": "2"},
        {"task_options": {"label": "stars"}},
        {"form": "text"},
        {"sources": {"imdb": "1"}},
        {"forgetting": {"sotu": "1"}},
        {"seed": 1},
        {"precision": "no"},
        {"stop": 0.25},
        *({"budget": Budget(**{name: value})} for name, value in {
            "train_examples": 7, "validation_examples": 7, "test_examples": 7, "epochs": 7, "batch_size": 7,
            "max_length": 9, "max_target_length": 7, "warmup": 0.5, "max_grad_norm": 7,
            "micro_batch": 7, "activation_checkpointing": True,
        }.items()),
    ],
)  # fmt: skip
def test_id_changes_with_everything_that_can_change_the_result(change):
    assert CELL.model_copy(update=change).id != CELL.id


def test_every_budget_value_is_covered_above():
    assert set(Budget.model_fields) == {
        "train_examples", "validation_examples", "test_examples", "epochs", "batch_size", "max_length",
        "max_target_length", "warmup", "max_grad_norm", "micro_batch", "activation_checkpointing",
    }  # fmt: skip


def test_ids_of_before_a_field_came_stay():
    """What these cells were called by versions without `stop`, `micro_batch` and `activation_checkpointing`."""
    assert CELL.id == "d2b41eb5ba4a"
    published = {"budget": None, "form": None, "precision": None}
    assert CELL.model_copy(update=published).id == "76b4c1deb05f"


def test_the_whole_of_a_trial_is_the_cell_without_an_early_end():
    assert CELL.model_copy(update={"stop": 0.5}).whole.id == CELL.id


def test_id_depends_neither_on_label_nor_on_a_place_nor_on_the_order_of_hyperparameters():
    assert CELL.model_copy(update={"label": "lora@r8"}).id == CELL.id
    assert CELL.model_copy(update={"adapter": "./moved"}).id == CELL.id
    assert CELL.model_copy(update={"hyperparameters": {"lr": 1e-3, "rank": 8}}).id == CELL.id


def test_id_survives_a_round_trip_through_json():
    assert Cell.model_validate_json(CELL.model_dump_json()).id == CELL.id

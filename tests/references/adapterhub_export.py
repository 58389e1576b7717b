"""AdapterHub's side of tests/references/test_adapterhub.py, run by the environment in which its library lives.

    python adapterhub_export.py FOLDER

FOLDER holds `shape.json`, `model.safetensors` and `batches.safetensors`. For every case it gets `CASE.safetensors`:
the parameters at the start (`start.<name>`), the logits of the first batch, the gradients there (`gradient.<name>`),
and the parameters after the last step (`end.<name>`).
"""

import json
import sys
from pathlib import Path

import adapters
import torch
from adapters import CompacterConfig, DoubleSeqBnConfig, MAMConfig, ParBnConfig, PrefixTuningConfig, SeqBnConfig
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import BertConfig, BertForSequenceClassification

REDUCTION = 4  # 32 dimensions to 8
CASES = {
    "houlsby": DoubleSeqBnConfig(reduction_factor=REDUCTION, non_linearity="gelu"),
    "pfeiffer": SeqBnConfig(reduction_factor=REDUCTION, non_linearity="relu", original_ln_before=False),
    "pfeiffer_default": SeqBnConfig(reduction_factor=REDUCTION, non_linearity="relu"),
    "parallel_adapter": ParBnConfig(reduction_factor=REDUCTION, scaling=4.0),
    "compacter": CompacterConfig(reduction_factor=REDUCTION, phm_dim=4),
    "prefix_tuning": PrefixTuningConfig(flat=True, prefix_length=5),
    "prefix_tuning_reparametrised": PrefixTuningConfig(flat=False, prefix_length=5, bottleneck_size=8),
    "mam": MAMConfig(
        PrefixTuningConfig(flat=True, prefix_length=5), ParBnConfig(reduction_factor=REDUCTION, scaling=4.0)
    ),
}


def export(folder: Path, case: str) -> None:
    model = BertForSequenceClassification(BertConfig(**json.loads((folder / "shape.json").read_text())))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    adapters.init(model)
    torch.manual_seed(0)
    model.add_adapter("it", config=CASES[case])
    model.train_adapter("it")
    model.eval()  # no dropout; what is trained is unaffected
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in trained.values():
            parameter += 0.05 * torch.randn_like(parameter)
    found = {f"start.{name}": p.detach().clone() for name, p in trained.items()}
    batches = load_file(folder / "batches.safetensors")
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-2)
    for step in range(len(batches["input_ids"])):
        optimizer.zero_grad()
        inputs = {name: batches[name][step] for name in ("input_ids", "attention_mask", "token_type_ids")}
        logits = model(**inputs).logits
        F.cross_entropy(logits, batches["labels"][step]).backward()
        if step == 0:
            found["logits"] = logits.detach().clone()
            found |= {f"gradient.{name}": p.grad.clone() for name, p in trained.items()}
        optimizer.step()
    found |= {f"end.{name}": p.detach().clone() for name, p in trained.items()}
    save_file({name: value.contiguous() for name, value in found.items()}, folder / f"{case}.safetensors")


if __name__ == "__main__":
    for case in CASES:
        export(Path(sys.argv[1]), case)

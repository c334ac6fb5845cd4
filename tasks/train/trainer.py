"""TRL's SFTTrainer for a CPU: the same loss, projected onto the vocabulary only where an answer stands.

TRL 1.16 leaves masked positions out only where Triton runs; elsewhere it scores every position, which for short
answers is a third of a training step on a CPU. Goes when TRL compacts there too. Never used on a GPU.
"""

from __future__ import annotations

from typing import Any

from trl import SFTTrainer

IGNORED = -100  # the label that cross-entropy leaves out


class AnswerTrainer(SFTTrainer):  # type: ignore[misc]  # trl is untyped
    """SFTTrainer with `compute_loss` over the columns of a batch that carry a label."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean negative log-likelihood per answer token, as TRL's `loss_type="nll"`; also notes the token accuracy."""
        import torch
        from torch.nn.functional import cross_entropy

        targets = inputs["labels"][:, 1:]
        columns = (targets != IGNORED).any(dim=0).nonzero().flatten()
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            use_cache=False,
            logits_to_keep=columns,
        )
        targets = targets[:, columns]
        logits = outputs.logits.float()
        total = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        scored = targets != IGNORED
        loss = total / (scored.sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch))
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # the count is of all processes, and DDP averages over them
        right = ((logits.detach().argmax(dim=-1) == targets) & scored).sum()
        seen = self.accelerator.gather_for_metrics(torch.stack([right, scored.sum()]).unsqueeze(0)).sum(dim=0)
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["mean_token_accuracy"].append((seen[0] / seen[1]).item())
        return (loss, outputs) if return_outputs else loss

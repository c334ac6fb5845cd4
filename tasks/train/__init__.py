"""Training in a process of its own: a smoke test, then QLoRA through TRL's SFTTrainer.

launch   starts the process, follows it, and turns what it leaves into results
worker   that process: builds the trainer, trains, saves
model    loads the base and its tokenizer
prompts  turns messages into token ids, for training and evaluation alike
"""

from tasks.train.launch import smoke_test, train_adapter

__all__ = ["smoke_test", "train_adapter"]

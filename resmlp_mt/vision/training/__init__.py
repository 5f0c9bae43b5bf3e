"""Losses, distillation, DINO and fine-tuning."""

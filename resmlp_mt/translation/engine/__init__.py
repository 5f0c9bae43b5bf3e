"""The step interface between search and model, batching by memory, and worker threads."""
